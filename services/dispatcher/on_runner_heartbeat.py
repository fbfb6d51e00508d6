"""Runs because a runner says that it is alive: remembers how many slots its pool has, and what it runs."""

from dataclasses import dataclass

from services.dispatcher.claims import Claims
from services.dispatcher.pools import Pools
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.messages import RunnerHeartbeat


@dataclass(frozen=True, slots=True)
class OnRunnerHeartbeat:
    """Handles RunnerHeartbeat."""

    pools: Pools
    claims: Claims

    async def __call__(self, message: RunnerHeartbeat, delivery: Delivery) -> Disposition:
        """Remember it."""
        del delivery
        self.pools.hear(message)
        self.claims.hear(message)
        return Ack()
