"""Runs because Prometheus asks: reads from the store and the broker what waits, so that it is true right after a start.

Promises: a store or broker that is away leaves no stale numbers; many who ask at once share one reading, and a
slow one makes nobody wait for more than some seconds.
"""

import asyncio
import math
from dataclasses import dataclass

import structlog

from services.monitor.metrics import Metrics
from taskandgo.broker.broker import Broker
from taskandgo.broker.topology import (
    DEAD_LETTER,
    MONITOR_CHUNK_FINISHED,
    MONITOR_CHUNK_STARTED,
    MONITOR_DEAD_LETTER,
    MONITOR_TASK_FINISHED,
    Queue,
    runner_chunk_ready,
)
from taskandgo.clock import Clock
from taskandgo.errors import BrokerAwayError, StoreAwayError
from taskandgo.store.records import Waiting
from taskandgo.store.store import Store
from taskandgo.telemetry.metrics import FewValues, seconds_between
from taskandgo.words import Priority, TaskState

PATIENCE_SECONDS = 4.0
EVENTS = (MONITOR_TASK_FINISHED, MONITOR_CHUNK_STARTED, MONITOR_CHUNK_FINISHED, MONITOR_DEAD_LETTER)
DEFAULT_POOL = "default"

log = structlog.get_logger()


@dataclass(slots=True)
class Level:
    """The open tasks of a priority in a pool, or in all pools that are not told apart; `oldest` in seconds."""

    waiting: int = 0
    running: int = 0
    oldest: float = 0.0


class ReadBacklog:
    """Sets the gauges of what is in the store and in the broker's queues."""

    def __init__(self, store: Store, broker: Broker, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._broker = broker
        self._metrics = metrics
        self._clock = clock
        self._pools = FewValues()
        self._readings: set[asyncio.Task[None]] = set()

    async def __call__(self, pools: set[str]) -> None:
        """Read, with what waits for the runners of these pools; return when it is done, or patience ends."""
        for pool in (DEFAULT_POOL, *sorted(pools)):
            self._pools.label(pool)
        if not self._readings:
            self._readings = {asyncio.create_task(self._read_store()), asyncio.create_task(self._read_broker())}
        # A reading is left to end by itself: breaking into a transaction would cost its connection.
        done, late = await asyncio.wait(self._readings, timeout=PATIENCE_SECONDS)
        self._readings -= done
        for reading in done:
            reading.result()
        if late:
            self._forget_store()
            self._forget_broker()
            log.warning("backlog.slow", patience_seconds=PATIENCE_SECONDS)

    async def close(self) -> None:
        """Return when no reading is under way."""
        await asyncio.gather(*self._readings, return_exceptions=True)

    async def _read_store(self) -> None:
        try:
            waiting, by_state = await self._store.waiting(), await self._store.count_by_state()
            blobs = await self._store.blobs.total()
        except StoreAwayError as error:
            log.warning("backlog.unread", error=str(error))
            self._forget_store()
            return
        self._show_waiting(waiting)
        for state in TaskState:
            self._metrics.tasks.labels(state).set(by_state.get(state, 0))
        self._metrics.blobs.set(blobs.count)
        self._metrics.blob_bytes.set(blobs.size_bytes)

    def _show_waiting(self, waiting: list[Waiting]) -> None:
        now = self._clock.now()
        levels = {(priority, DEFAULT_POOL): Level() for priority in Priority}
        for found in waiting:
            level = levels.setdefault((found.priority, self._pools.label(found.pool)), Level())
            level.waiting += found.count
            level.running += found.running
            level.oldest = max(level.oldest, seconds_between(found.oldest_queued_at or now, now))
        self._forget_waiting()
        for (priority, pool), level in levels.items():
            self._metrics.tasks_waiting.labels(priority.word, pool).set(level.waiting)
            self._metrics.tasks_running.labels(priority.word, pool).set(level.running)
            self._metrics.oldest_waiting_seconds.labels(priority.word, pool).set(level.oldest)

    async def _read_broker(self) -> None:
        queues = {pool: runner_chunk_ready(pool) for pool in self._pools.known}
        try:
            found = await self._depths([DEAD_LETTER, *EVENTS, *queues.values()])
        except BrokerAwayError as error:
            log.warning("backlog.unread", error=str(error))
            self._forget_broker()
            return
        self._metrics.dead_letter_depth.set(found[DEAD_LETTER.name])
        for queue in EVENTS:
            self._metrics.events_waiting.labels(queue.name).set(found[queue.name])
        for pool, queue in queues.items():
            self._metrics.chunks_waiting.labels(pool).set(found[queue.name])

    async def _depths(self, queues: list[Queue]) -> dict[str, int]:
        if not self._broker.connected:
            raise BrokerAwayError("not connected")
        depths = await asyncio.gather(*map(self._broker.depth, queues))
        return {queue.name: depth for queue, depth in zip(queues, depths, strict=True)}

    def _forget_broker(self) -> None:
        self._metrics.dead_letter_depth.set(math.nan)
        self._metrics.events_waiting.clear()
        self._metrics.chunks_waiting.clear()

    def _forget_store(self) -> None:
        self._metrics.blobs.set(math.nan)
        self._metrics.blob_bytes.set(math.nan)
        self._metrics.tasks.clear()
        self._forget_waiting()

    def _forget_waiting(self) -> None:
        for gauge in (self._metrics.tasks_waiting, self._metrics.tasks_running, self._metrics.oldest_waiting_seconds):
            gauge.clear()
