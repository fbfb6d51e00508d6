"""Runs because a task reached its final state: counts it, and how long it waited and took."""

from dataclasses import dataclass

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.messages import TaskFinished
from taskandgo.telemetry.metrics import language_label


@dataclass(frozen=True, slots=True)
class OnTaskFinished:
    """Handles TaskFinished."""

    metrics: Metrics

    async def __call__(self, message: TaskFinished, delivery: Delivery) -> Disposition:
        """Count it; the instants come from different machines, whose clocks may differ a little."""
        del delivery
        priority, language = message.priority.word, language_label(message.language)
        self.metrics.tasks_finished.labels(message.state, priority, language).inc()
        lasted = (message.finished_at - message.queued_at).total_seconds()
        self.metrics.task_seconds.labels(priority, language).observe(max(0.0, lasted))
        if message.started_at:
            waited = (message.started_at - message.queued_at).total_seconds()
            self.metrics.queue_wait.labels(priority).observe(max(0.0, waited))
        return Ack()
