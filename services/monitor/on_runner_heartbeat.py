"""Runs because a runner is alive: remembers its slots, and exports them until it has been silent for a while."""

from collections.abc import Iterator
from datetime import timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.messages import RunnerHeartbeat

#: Three heartbeats at their default distance.
SILENT_AFTER = timedelta(seconds=15)


class OnRunnerHeartbeat(Collector):
    """Handles RunnerHeartbeat; also the collector of what it was told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, RunnerHeartbeat] = {}

    async def __call__(self, message: RunnerHeartbeat, delivery: Delivery) -> Disposition:
        """Remember it."""
        del delivery
        self._last[message.runner] = message
        return Ack()

    def collect(self) -> Iterator[Metric]:
        """The slots of the runners that were heard lately."""
        self._forget_silent()
        slots = GaugeMetricFamily(
            "taskandgo_runner_slots", "Chunks a runner can run at once.", labels=["runner", "pool"]
        )
        busy = GaugeMetricFamily("taskandgo_runner_slots_busy", "Slots in use.", labels=["runner", "pool"])
        for heartbeat in self._last.values():
            slots.add_metric([heartbeat.runner, heartbeat.pool], heartbeat.slots)
            busy.add_metric([heartbeat.runner, heartbeat.pool], heartbeat.busy)
        yield slots
        yield busy

    def _forget_silent(self) -> None:
        oldest = self._clock.now() - SILENT_AFTER
        self._last = {name: last for name, last in self._last.items() if last.sent_at > oldest}
