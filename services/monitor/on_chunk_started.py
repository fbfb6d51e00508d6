"""Runs because a runner began an attempt: counts it."""

from dataclasses import dataclass

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.messages import ChunkStarted
from taskandgo.telemetry.metrics import language_label, seconds_between


@dataclass(frozen=True, slots=True)
class OnChunkStarted:
    """Handles ChunkStarted."""

    metrics: Metrics
    clock: Clock

    async def __call__(self, message: ChunkStarted, delivery: Delivery) -> Disposition:
        """Count it."""
        del delivery
        age = seconds_between(message.started_at, self.clock.now())
        self.metrics.event_age_seconds.labels("chunk.started").observe(age)
        self.metrics.chunks_started.labels(message.priority.word, language_label(message.language)).inc()
        return Ack()
