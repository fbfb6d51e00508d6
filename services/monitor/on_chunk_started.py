"""Runs because a runner began an attempt: counts it."""

from dataclasses import dataclass

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.messages import ChunkStarted
from taskandgo.telemetry.metrics import language_label


@dataclass(frozen=True, slots=True)
class OnChunkStarted:
    """Handles ChunkStarted."""

    metrics: Metrics

    async def __call__(self, message: ChunkStarted, delivery: Delivery) -> Disposition:
        """Count it."""
        del delivery
        self.metrics.chunks_started.labels(message.priority.word, language_label(message.language)).inc()
        return Ack()
