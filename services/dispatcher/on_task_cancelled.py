"""Runs because a client cancelled a task, which the store already says: tells everyone that it is finished."""

from dataclasses import dataclass

from services.dispatcher.announce_task import announce_task
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.messages import TaskCancelled
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class OnTaskCancelled:
    """Handles TaskCancelled."""

    broker: Broker
    store: Store

    async def __call__(self, message: TaskCancelled, delivery: Delivery) -> Disposition:
        """Announce the final state; a redelivery announces it again, which harms nobody."""
        del delivery
        if message.again:
            return Ack()
        if finished := await self.store.summary(message.task_id):
            await announce_task(self.broker, finished)
        return Ack()
