"""Runs because Prometheus asks: reads from the store what waits, so that the gauges are true right after a start."""

from datetime import datetime

import structlog
from prometheus_client import Gauge

from services.monitor.metrics import Metrics
from taskandgo.clock import Clock
from taskandgo.errors import StoreAwayError
from taskandgo.store.store import Store
from taskandgo.words import Priority, TaskState

log = structlog.get_logger()


class ReadBacklog:
    """Sets the gauges of what is in the store."""

    def __init__(self, store: Store, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        registry = metrics.registry
        self._waiting = Gauge("taskandgo_tasks_waiting", "Tasks that are queued.", ["priority"], registry=registry)
        self._oldest = Gauge(
            "taskandgo_oldest_waiting_seconds",
            "Age of the oldest queued task; 0 if none.",
            ["priority"],
            registry=registry,
        )
        self._tasks = Gauge("taskandgo_tasks", "Tasks in the store.", ["state"], registry=registry)

    async def __call__(self) -> None:
        """Read; while the store is away the gauges keep their last values."""
        try:
            waiting, by_state = await self._store.waiting(), await self._store.count_by_state()
        except StoreAwayError as error:
            log.warning("backlog.unread", error=str(error))
            return
        found = {one.priority: (one.count, self._age(one.oldest_queued_at)) for one in waiting}
        for priority in Priority:
            count, age = found.get(priority, (0, 0.0))
            self._waiting.labels(priority.word).set(count)
            self._oldest.labels(priority.word).set(age)
        for state in TaskState:
            self._tasks.labels(state).set(by_state.get(state, 0))

    def _age(self, instant: datetime) -> float:
        return (self._clock.now() - instant).total_seconds()
