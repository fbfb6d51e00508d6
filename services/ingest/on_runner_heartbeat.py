"""Runs because a runner says that it is alive: remembers it, for whoever asks why a task waits."""

from dataclasses import dataclass

from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.heard_runners import HeardRunners
from taskandgo.messages import RunnerHeartbeat


@dataclass(frozen=True, slots=True)
class OnRunnerHeartbeat:
    """Handles RunnerHeartbeat."""

    runners: HeardRunners

    async def __call__(self, message: RunnerHeartbeat, delivery: Delivery) -> Disposition:
        """Remember it."""
        del delivery
        self.runners.hear(message)
        return Ack()
