"""Runs because a task reached its final state: counts it once, and how long it waited and took."""

from dataclasses import dataclass, field

from services.monitor.counted_tasks import CountedTasks
from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.messages import TaskFinished
from taskandgo.telemetry.exemplars import exemplar
from taskandgo.telemetry.metrics import language_label, seconds_between


@dataclass(frozen=True, slots=True)
class OnTaskFinished:
    """Handles TaskFinished."""

    metrics: Metrics
    clock: Clock
    counted: CountedTasks = field(default_factory=CountedTasks)

    async def __call__(self, message: TaskFinished, delivery: Delivery) -> Disposition:
        """Count it, unless it was announced before."""
        del delivery
        if self.counted.is_new(message.task_id, message.finished_at):
            self._count(message)
        return Ack()

    def _count(self, message: TaskFinished) -> None:
        priority, language, trace = message.priority.word, language_label(message.language), exemplar()
        age = seconds_between(message.finished_at, self.clock.now())
        self.metrics.event_age_seconds.labels("task.finished").observe(age)
        self.metrics.tasks_finished.labels(message.state, priority, language).inc()
        lasted = seconds_between(message.queued_at, message.finished_at)
        self.metrics.task_seconds.labels(priority, language).observe(lasted, trace)
        if message.started_at:
            waited = seconds_between(message.queued_at, message.started_at)
            self.metrics.queue_wait.labels(priority).observe(waited, trace)
