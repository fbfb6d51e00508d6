"""Runs because a client cancels a task: the store says so first, then everyone who works on it is told."""

from dataclasses import dataclass

from services.ingest.announce_task import Announcer
from services.ingest.get_task import unknown_task
from services.ingest.task_status import STATES
from taskandgo.api import scheduler_pb2 as api
from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.messages import TaskCancelled
from taskandgo.store.store import Store
from taskandgo.words import TaskState


@dataclass(frozen=True, slots=True)
class CancelTask:
    """The use case of CancelTask."""

    store: Store
    announcer: Announcer
    clock: Clock

    async def __call__(self, task_id: str) -> api.CancelTaskResponse:
        """Cancel the task unless it has finished; NOT_FOUND if there is none."""
        record = await self.store.cancel_task(task_id, self.clock.now())
        if record is None:
            raise unknown_task(task_id)
        crash_point(CrashPoint.TASK_CANCEL_RECORDED, task_id)
        cancelled = record.state is TaskState.CANCELLED
        if cancelled:
            message = TaskCancelled(task_id=task_id, last_attempt=record.last_attempt)
            self.announcer.announce(task_id, message, "task.cancelled")
        said = f"Task {task_id} cancelled" if cancelled else f"Task {task_id} has already {record.state}"
        return api.CancelTaskResponse(cancelled=cancelled, message=said, state=STATES[record.state])
