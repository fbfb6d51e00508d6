"""Runs because a runner is alive: remembers its slots, and shows those of all that were heard of lately."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Gauge

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.messages import RunnerHeartbeat
from taskandgo.telemetry.metrics import FewValues

Labels = tuple[str, ...]

#: How many runners are shown by their names at a time; those beyond are shown together.
MOST_RUNNERS = 500
#: How many are remembered where nobody asks for metrics, which is when those long gone are forgotten.
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Heard:
    """The last heartbeat of a runner, and when it came: the runner's clock may differ."""

    message: RunnerHeartbeat
    at: datetime


class OnRunnerHeartbeat:
    """Handles RunnerHeartbeat."""

    def __init__(self, metrics: Metrics, clock: Clock, gone_seconds: float) -> None:
        self._metrics = metrics
        self._clock = clock
        self._gone_after = timedelta(seconds=gone_seconds)
        self._heard: dict[tuple[str, str], Heard] = {}

    async def __call__(self, message: RunnerHeartbeat, delivery: Delivery) -> Disposition:
        """Remember the runner as it is now."""
        del delivery
        # The ones heard last come last.
        self._heard.pop((message.runner, message.pool), None)
        self._heard[message.runner, message.pool] = Heard(message, self._clock.now())
        if len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]
        return Ack()

    def show(self) -> set[str]:
        """Show who is alive, and no longer who has been silent for too long; the pools of those alive."""
        oldest = self._clock.now() - self._gone_after
        self._heard = {runner: heard for runner, heard in self._heard.items() if heard.at >= oldest}
        names = FewValues(MOST_RUNNERS)
        slots, busy, kinds = Counter[Labels](), Counter[Labels](), Counter[Labels]()
        for message in (heard.message for heard in self._heard.values()):
            runner = (names.label(message.runner), message.pool)
            slots[runner] += message.slots
            busy[runner] += message.busy
            kinds[message.pool, message.isolation, message.metering] += 1
        _set(self._metrics.runner_slots, slots)
        _set(self._metrics.runner_slots_busy, busy)
        _set(self._metrics.runners, kinds)
        return {heard.message.pool for heard in self._heard.values()}


def _set(gauge: Gauge, values: Counter[Labels]) -> None:
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
