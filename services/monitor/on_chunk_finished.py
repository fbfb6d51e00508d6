"""Runs because an attempt ended: counts it, and how long its code ran."""

from dataclasses import dataclass

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.messages import ChunkFinished
from taskandgo.telemetry.exemplars import exemplar
from taskandgo.telemetry.metrics import language_label, seconds_between


@dataclass(frozen=True, slots=True)
class OnChunkFinished:
    """Handles ChunkFinished."""

    metrics: Metrics
    clock: Clock

    async def __call__(self, message: ChunkFinished, delivery: Delivery) -> Disposition:
        """Count it; what never ran has no run time."""
        del delivery
        labels = (message.result.outcome, language_label(message.language))
        age = seconds_between(message.finished_at, self.clock.now())
        self.metrics.event_age_seconds.labels("chunk.finished").observe(age)
        self.metrics.chunks_finished.labels(*labels).inc()
        if seconds := message.result.usage.wall_seconds:
            self.metrics.run_seconds.labels(*labels).observe(seconds, exemplar())
        return Ack()
