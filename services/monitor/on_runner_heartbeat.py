"""Runs because a runner is alive: shows its slots, until it has been silent for a while."""

from datetime import datetime, timedelta

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.messages import RunnerHeartbeat


class OnRunnerHeartbeat:
    """Handles RunnerHeartbeat."""

    def __init__(self, metrics: Metrics, clock: Clock, gone_seconds: float) -> None:
        self._metrics = metrics
        self._clock = clock
        self._gone_after = timedelta(seconds=gone_seconds)
        self._heard_at: dict[tuple[str, str], datetime] = {}
        self._kinds: dict[tuple[str, str], tuple[str, str, str]] = {}

    async def __call__(self, message: RunnerHeartbeat, delivery: Delivery) -> Disposition:
        """Show the runner as it is now."""
        del delivery
        runner = (message.runner, message.pool)
        # When it was heard, not when it was sent: the runner's clock may differ.
        self._heard_at[runner] = self._clock.now()
        self._count_as(runner, (message.pool, message.isolation, message.metering))
        self._metrics.runner_slots.labels(*runner).set(message.slots)
        self._metrics.runner_slots_busy.labels(*runner).set(message.busy)
        return Ack()

    async def forget_silent(self) -> None:
        """Show no longer who has been silent for too long."""
        oldest = self._clock.now() - self._gone_after
        for runner in [runner for runner, heard_at in self._heard_at.items() if heard_at < oldest]:
            del self._heard_at[runner]
            self._uncount(runner)
            self._metrics.runner_slots.remove(*runner)
            self._metrics.runner_slots_busy.remove(*runner)

    def _count_as(self, runner: tuple[str, str], kind: tuple[str, str, str]) -> None:
        if self._kinds.get(runner) != kind:
            self._uncount(runner)
            self._kinds[runner] = kind
            self._metrics.runners.labels(*kind).inc()

    def _uncount(self, runner: tuple[str, str]) -> None:
        if kind := self._kinds.pop(runner, None):
            self._metrics.runners.labels(*kind).dec()
