"""Runs because ingest accepted a task, or takes up a failed one again: opens it, unless its start is not due yet."""

from dataclasses import dataclass

from services.dispatcher.fire_timers import FireTimers
from services.dispatcher.open_task import OpenTask
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.messages import TaskSubmitted


@dataclass(frozen=True, slots=True)
class OnTaskSubmitted:
    """Handles TaskSubmitted."""

    open_task: OpenTask
    timers: FireTimers
    clock: Clock

    async def __call__(self, message: TaskSubmitted, delivery: Delivery) -> Disposition:
        """Open the task now, or leave it to the timer that was set when it was accepted."""
        task = message.task
        if task.deadline:
            self.timers.expect(task.deadline)
        if task.not_before and task.not_before > self.clock.now():
            self.timers.expect(task.not_before)
        else:
            await self.open_task(task, again=delivery.redelivered)
        return Ack()
