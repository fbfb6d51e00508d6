"""Runs because a client submits one task: validate, record as accepted, answer, with TaskSubmitted on its way."""

import hashlib
from dataclasses import dataclass

import grpc
import msgspec
import structlog

from services.ingest.admission import Admission
from services.ingest.announce_task import Announcer
from services.ingest.blob_rules import blob_gone, blob_names
from services.ingest.metrics import IngestMetrics
from services.ingest.set_aside_input import large_input, one_block, set_aside
from services.ingest.task_rules import TaskRules
from taskandgo.api import scheduler_pb2 as api
from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.errors import AwayError
from taskandgo.messages import TaskSubmitted
from taskandgo.rpc.refusal import RefusalError, away, invalid
from taskandgo.store.records import Acceptance, Submission
from taskandgo.store.store import Store
from taskandgo.task import TaskSpec
from taskandgo.telemetry.tracing import trace_of_new_task

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SubmitTask:
    """The use case of SubmitTask; concurrent calls share one commit of the store."""

    rules: TaskRules
    admission: Admission
    store: Store
    announcer: Announcer
    clock: Clock
    metrics: IngestMetrics

    async def __call__(self, task: api.Task) -> api.SubmitTaskResponse:
        """Accept the task; RefusalError says why not."""
        return await self.accept(await self.submission(task))

    async def one_of_many(self, task: api.Task) -> api.SubmitTaskAnswer:
        """The same, where a refusal is an answer like others, and too many queued tasks are waited for."""
        try:
            said = await self.accept(await self.submission(task), patient=True)
        except RefusalError as refusal:
            return refused(task.task_id, refusal)
        except AwayError as error:
            return refused(task.task_id, away(str(error)))
        return accepted(said)

    async def submission(self, task: api.Task) -> Submission:
        """The validated task with the hash that tells same content from other content."""
        blobs = {name: found for name in blob_names(task) if (found := await self.store.blobs.find(name))}
        with self.metrics.refusing():
            spec = self.rules.spec(task, self.clock.now(), blobs)
        if trace := trace_of_new_task(spec.task_id):
            spec = msgspec.structs.replace(spec, trace=trace)
        content = large_input(spec) if self.rules.max_blob_bytes else b""
        if content:
            spec, task = set_aside(spec, task, content)
        content_hash = hashlib.sha256(task.SerializeToString(deterministic=True)).digest()
        return Submission(task=spec, content_hash=content_hash, input=content)

    async def accept(self, submission: Submission, *, patient: bool = False) -> api.SubmitTaskResponse:
        """Keep the task if there is room for it, and answer, with the task announced if it is new."""
        return self.answer(submission.task, await self.keep(submission, patient=patient))

    async def keep(self, submission: Submission, *, patient: bool = False) -> Acceptance:
        """Record the task as accepted if there is room for it; a patient caller waits for room."""
        with self.metrics.refusing():
            await self.admission.admit(submission.task, patient=patient)
        acceptance = None
        try:
            if submission.input:
                await self.store.blobs.write(one_block(submission.input), len(submission.input), self.clock.now)
            acceptance = await self.store.accept_task(submission)
        finally:
            self.admission.settle(submission.task, accepted=acceptance is Acceptance.ACCEPTED)
        crash_point(CrashPoint.TASK_ACCEPTED, submission.task.task_id)
        return acceptance

    def answer(self, task: TaskSpec, acceptance: Acceptance) -> api.SubmitTaskResponse:
        """What the client is told, with the task announced if it is new."""
        if acceptance is Acceptance.OTHER:
            message = f"task_id {task.task_id!r} is taken by a task with other content"
            with self.metrics.refusing():
                raise RefusalError(grpc.StatusCode.ALREADY_EXISTS, message)
        if acceptance is Acceptance.NO_BLOB:
            with self.metrics.refusing():
                raise invalid(blob_gone(task))
        if acceptance is Acceptance.ACCEPTED:
            self.announcer.announce(task.task_id, TaskSubmitted(task=task), "task.submitted")
            self.metrics.accepted(task)
            log.info("task.accepted", task_id=task.task_id, priority=task.priority.word, language=task.language)
        message = f"Task {task.task_id} submitted successfully"
        return api.SubmitTaskResponse(success=True, message=message, task_id=task.task_id)


def accepted(said: api.SubmitTaskResponse) -> api.SubmitTaskAnswer:
    """An acceptance as one of many answers."""
    return api.SubmitTaskAnswer(success=True, message=said.message, task_id=said.task_id)


def refused(task_id: str, refusal: RefusalError) -> api.SubmitTaskAnswer:
    """A refusal as one of many answers."""
    return api.SubmitTaskAnswer(success=False, message=refusal.message, task_id=task_id, error=refusal.to_status())
