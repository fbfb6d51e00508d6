"""Publishes what the store's outbox holds: at once after an accept, and again whatever was not confirmed.

Promises: what the outbox holds is published at least once, whichever ingest dies, and again by one of them; nobody
waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog

from services.ingest.metrics import IngestMetrics
from taskandgo.broker.broker import Broker
from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.errors import AwayError, UnroutableError
from taskandgo.messages import Message, TaskCancelled, TaskSubmitted
from taskandgo.store.records import Unconfirmed
from taskandgo.store.store import Store

SWEEP_SECONDS = 5.0
PAGE = 500
#: Younger rows are still on their way from the ingest that wrote them.
UNCONFIRMED_AFTER = timedelta(seconds=15)

KINDS: dict[str, Callable[[Unconfirmed], Message]] = {
    "task.submitted": lambda one: TaskSubmitted(task=one.task),
    "task.cancelled": lambda one: TaskCancelled(task_id=one.task.task_id, last_attempt=one.last_attempt),
}

log = structlog.get_logger()


class Announcer:
    """Tells the dispatchers what was accepted and cancelled."""

    def __init__(self, broker: Broker, store: Store, clock: Clock, metrics: IngestMetrics) -> None:
        self._broker = broker
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._under_way: set[asyncio.Task[bool]] = set()
        self._returned = asyncio.Event()

    def announce(self, task_id: str, message: Message, kind: str) -> None:
        """Publish in the background; while the broker is away the sweep does it later."""
        if not self._broker.connected:
            return
        publishing = asyncio.get_running_loop().create_task(self._publish(task_id, message, kind))
        self._under_way.add(publishing)
        publishing.add_done_callback(self._under_way.discard)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep the outbox while the context lasts; leaving it waits for what is under way."""
        self._broker.on_return(self._returned.set)
        sweeping = asyncio.get_running_loop().create_task(self._sweep_for_ever())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, *self._under_way, return_exceptions=True)

    async def _publish(self, task_id: str, message: Message, kind: str) -> bool:
        """Whether the broker holds it."""
        try:
            with self._metrics.unconfirmed.track_inprogress():
                await self._broker.publish(message)
            crash_point(CrashPoint.OUTBOX_PUBLISHED, task_id)
            await self._store.confirm_published(task_id, kind)
        except (AwayError, UnroutableError) as error:
            # Unroutable when somebody deleted the queue: once it is declared anew, the sweep fills it.
            log.warning("task.unconfirmed", task_id=task_id, kind=kind, error=str(error))
            return False
        return True

    async def _sweep_for_ever(self) -> None:
        while True:
            # While the broker was away nothing was on its way.
            age = timedelta(0) if self._returned.is_set() else UNCONFIRMED_AFTER
            self._returned.clear()
            try:
                for kind in KINDS:
                    await self._sweep(kind, self._clock.now() - age)
            except AwayError as error:
                log.warning("outbox.waiting", error=str(error))
            except Exception:
                # Nobody else would publish what this ingest could not, for as long as this process lives.
                log.exception("outbox.failed")
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._returned.wait()
            except TimeoutError:
                pass

    async def _sweep(self, kind: str, older_than: datetime) -> None:
        while self._broker.connected:
            tasks = await self._store.claim_unconfirmed(kind, PAGE, older_than, self._clock.now())
            if not tasks:
                return
            log.info("outbox.published_again", kind=kind, tasks=len(tasks))
            self._metrics.published_again.labels(kind).inc(len(tasks))
            publishing = (self._publish(one.task.task_id, KINDS[kind](one), kind) for one in tasks)
            # What follows would be refused too, as long as these are.
            if not all(await asyncio.gather(*publishing)) or len(tasks) < PAGE:
                return
