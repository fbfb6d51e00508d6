"""Runs because a client wants what did not succeed of a finished task to run again: the store says so first."""

from dataclasses import dataclass

import grpc
import structlog

from services.ingest.announce_task import Announcer
from services.ingest.get_task import unknown_task
from taskandgo.api import scheduler_pb2 as api
from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.messages import TaskSubmitted
from taskandgo.rpc.refusal import RefusalError
from taskandgo.store.store import Store
from taskandgo.words import TaskState

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RetryTask:
    """The use case of RetryTask."""

    store: Store
    announcer: Announcer
    clock: Clock

    async def __call__(self, task_id: str) -> api.RetryTaskResponse:
        """Run it again; NOT_FOUND if there is none, FAILED_PRECONDITION if nothing of it failed for good."""
        retried = await self.store.retry_task(task_id, self.clock.now())
        if retried is None:
            raise unknown_task(task_id)
        crash_point(CrashPoint.TASK_RETRY_RECORDED, task_id)
        if retried.task is None:
            raise RefusalError(grpc.StatusCode.FAILED_PRECONDITION, _why_not(task_id, retried.state))
        self.announcer.announce(task_id, TaskSubmitted(task=retried.task), "task.submitted")
        log.info("task.retried", task_id=task_id, chunks=retried.chunks, before=retried.state)
        chunks = "1 chunk" if retried.chunks == 1 else f"{retried.chunks} chunks"
        message = f"Task {task_id} runs again: {chunks} of it did not succeed"
        return api.RetryTaskResponse(message=message, chunks=retried.chunks, state=api.TASK_STATE_QUEUED)


def _why_not(task_id: str, state: TaskState) -> str:
    if state is TaskState.SUCCEEDED:
        return f"task {task_id!r} has succeeded; there is nothing to run again"
    return f"task {task_id!r} is {state}; wait for its end, or cancel it first"
