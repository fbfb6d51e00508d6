"""Runs because a runner says that it is alive: remembers how many slots its pool has."""

from dataclasses import dataclass

from services.dispatcher.pools import Pools
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.messages import RunnerHeartbeat


@dataclass(frozen=True, slots=True)
class OnRunnerHeartbeat:
    """Handles RunnerHeartbeat."""

    pools: Pools

    async def __call__(self, message: RunnerHeartbeat, delivery: Delivery) -> Disposition:
        """Remember it."""
        del delivery
        self.pools.hear(message)
        return Ack()
