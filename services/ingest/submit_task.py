"""Runs because a client submits one task: validate, record as accepted, answer, with TaskSubmitted on its way."""

import hashlib
from dataclasses import dataclass

import grpc
import structlog

from services.ingest.announce_task import Announcer
from services.ingest.metrics import IngestMetrics
from services.ingest.task_rules import TaskRules
from taskandgo.api import scheduler_pb2 as api
from taskandgo.clock import Clock
from taskandgo.messages import TaskSubmitted
from taskandgo.rpc.refusal import RefusalError
from taskandgo.store.records import Acceptance, Submission
from taskandgo.store.store import Store
from taskandgo.task import TaskSpec

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SubmitTask:
    """The use case of SubmitTask; concurrent calls share one commit of the store."""

    rules: TaskRules
    store: Store
    announcer: Announcer
    clock: Clock
    metrics: IngestMetrics

    async def __call__(self, task: api.Task) -> api.SubmitTaskResponse:
        """Accept the task; RefusalError says why not."""
        submission = self.submission(task)
        acceptance = await self.store.accept_task(submission)
        return self.answer(submission.task, acceptance)

    def submission(self, task: api.Task) -> Submission:
        """The validated task with the hash that tells same content from other content."""
        with self.metrics.refusing():
            spec = self.rules.spec(task, self.clock.now())
        content = hashlib.sha256(task.SerializeToString(deterministic=True)).digest()
        return Submission(task=spec, content_hash=content)

    def answer(self, task: TaskSpec, acceptance: Acceptance) -> api.SubmitTaskResponse:
        """What the client is told, with the task announced if it is new."""
        if acceptance is Acceptance.OTHER:
            message = f"task_id {task.task_id!r} is taken by a task with other content"
            with self.metrics.refusing():
                raise RefusalError(grpc.StatusCode.ALREADY_EXISTS, message)
        if acceptance is Acceptance.ACCEPTED:
            self.announcer.announce(task.task_id, TaskSubmitted(task=task), "task.submitted")
            self.metrics.accepted(task)
            log.info("task.accepted", task_id=task.task_id, priority=task.priority.word, language=task.language)
        message = f"Task {task.task_id} submitted successfully"
        return api.SubmitTaskResponse(success=True, message=message, task_id=task.task_id)
