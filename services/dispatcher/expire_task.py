"""Runs because a task's deadline has come: ends it if it has not started, and tells whoever could still start it."""

from dataclasses import dataclass

from taskandgo.broker.broker import Broker
from taskandgo.clock import Clock
from taskandgo.messages import TaskCancelled
from taskandgo.store.records import Due
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class ExpireTask:
    """Fires timers of the kind EXPIRE."""

    broker: Broker
    store: Store
    clock: Clock

    async def __call__(self, due: Due) -> None:
        """Expire it; told again when this is repeated, since the one before may have died in between."""
        if expired := await self.store.expire_task(due.task_id, self.clock.now()):
            await self.broker.publish(TaskCancelled(task_id=due.task_id, last_attempt=expired.last_attempt))
