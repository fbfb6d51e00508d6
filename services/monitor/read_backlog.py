"""Runs because Prometheus asks: reads from the store and the broker what waits, so that it is true right after a start.

Promises: a store or broker that is away leaves no stale numbers; many who ask at once share one reading, and a
slow one makes nobody wait for more than some seconds.
"""

import asyncio
import math

import structlog

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Broker
from taskandgo.broker.topology import DEAD_LETTER
from taskandgo.clock import Clock
from taskandgo.errors import BrokerAwayError, StoreAwayError
from taskandgo.store.records import Waiting
from taskandgo.store.store import Store
from taskandgo.words import Priority, TaskState

PATIENCE_SECONDS = 4.0

log = structlog.get_logger()


class ReadBacklog:
    """Sets the gauges of what is in the store and in the dead letters."""

    def __init__(self, store: Store, broker: Broker, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._broker = broker
        self._metrics = metrics
        self._clock = clock
        self._readings: set[asyncio.Task[None]] = set()

    async def __call__(self) -> None:
        """Read; return when it is done, or patience ends."""
        if not self._readings:
            self._readings = {asyncio.create_task(self._read_store()), asyncio.create_task(self._read_broker())}
        # A reading is left to end by itself: breaking into a transaction would cost its connection.
        done, late = await asyncio.wait(self._readings, timeout=PATIENCE_SECONDS)
        self._readings -= done
        for reading in done:
            reading.result()
        if late:
            self._forget()
            log.warning("backlog.slow", patience_seconds=PATIENCE_SECONDS)

    async def close(self) -> None:
        """Return when no reading is under way."""
        await asyncio.gather(*self._readings, return_exceptions=True)

    async def _read_store(self) -> None:
        try:
            waiting, by_state = await self._store.waiting(), await self._store.count_by_state()
        except StoreAwayError as error:
            log.warning("backlog.unread", error=str(error))
            self._forget_store()
            return
        found = {level.priority: level for level in waiting}
        for priority in Priority:
            self._show(priority, found.get(priority))
        for state in TaskState:
            self._metrics.tasks.labels(state).set(by_state.get(state, 0))

    def _show(self, priority: Priority, level: Waiting | None) -> None:
        age = (self._clock.now() - level.oldest_queued_at).total_seconds() if level else 0.0
        self._metrics.tasks_waiting.labels(priority.word).set(level.count if level else 0)
        self._metrics.oldest_waiting_seconds.labels(priority.word).set(max(0.0, age))

    async def _read_broker(self) -> None:
        depth = math.nan
        if self._broker.connected:
            try:
                depth = await self._broker.depth(DEAD_LETTER)
            except BrokerAwayError as error:
                log.warning("backlog.unread", error=str(error))
        self._metrics.dead_letter_depth.set(depth)

    def _forget(self) -> None:
        self._forget_store()
        self._metrics.dead_letter_depth.set(math.nan)

    def _forget_store(self) -> None:
        for gauge in (self._metrics.tasks_waiting, self._metrics.oldest_waiting_seconds, self._metrics.tasks):
            gauge.clear()
