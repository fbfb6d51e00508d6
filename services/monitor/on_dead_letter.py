"""Runs because a message was dead-lettered: counts and logs it; the letter itself stays in `dead-letter`."""

from dataclasses import dataclass

import structlog

from services.monitor.metrics import DEAD_LETTER_QUEUES, POOL_QUEUE, REASONS, Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.telemetry.metrics import OTHER

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OnDeadLetter:
    """Handles a dead letter, whatever is in it."""

    metrics: Metrics

    async def __call__(self, delivery: Delivery) -> Disposition:
        """Count it by the queue it came from and the kind of reason."""
        queue = POOL_QUEUE if delivery.queue.startswith(POOL_QUEUE) else delivery.queue
        known = queue if queue in DEAD_LETTER_QUEUES else OTHER
        self.metrics.dead_letters.labels(known, reason_label(delivery.reason)).inc()
        log.warning("dead_letter", queue=delivery.queue, routing_key=delivery.routing_key, reason=delivery.reason)
        return Ack()


def reason_label(reason: str) -> str:
    """The kind of a reason; `failed` when its handler raised."""
    return next((kind for beginning, kind in REASONS.items() if reason.startswith(beginning)), "failed")
