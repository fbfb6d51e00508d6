"""Runs because a message was dead-lettered: counts and logs it; the letter itself stays in `dead-letter`."""

from dataclasses import dataclass

import structlog

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.broker.topology import SHARED_QUEUES

KNOWN = {queue.name for queue in SHARED_QUEUES}
POOL_QUEUE = "runner.chunk-ready"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OnDeadLetter:
    """Handles a dead letter, whatever is in it."""

    metrics: Metrics

    async def __call__(self, delivery: Delivery) -> Disposition:
        """Count it by the queue it came from."""
        queue = POOL_QUEUE if delivery.queue.startswith(POOL_QUEUE) else delivery.queue
        self.metrics.dead_letters.labels(queue if queue in {*KNOWN, POOL_QUEUE} else "other").inc()
        log.warning("dead_letter", queue=delivery.queue, routing_key=delivery.routing_key, reason=delivery.reason)
        return Ack()
