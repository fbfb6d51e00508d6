"""Runs because a task was cancelled: kills what runs of it here."""

from dataclasses import dataclass

from services.runner.running_chunks import RunningChunks
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.messages import TaskCancelled


@dataclass(frozen=True, slots=True)
class OnTaskCancelled:
    """Handles TaskCancelled."""

    running: RunningChunks

    async def __call__(self, message: TaskCancelled, delivery: Delivery) -> Disposition:
        """Kill it; what is not here is somebody else's."""
        del delivery
        self.running.cancel_task(message.task_id, message.last_attempt)
        return Ack()
