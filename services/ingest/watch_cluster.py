"""Runs because somebody watches everything: one message each second, put together once for all who watch.

Promises: works only while somebody watches; a watcher that is slow misses messages, and holds up nobody.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.ingest.cluster_status import Heard, cluster
from services.ingest.event_rates import EventRates
from services.ingest.read_open_tasks import EVERY_SECONDS, ReadOpenTasks
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.broker import Broker
from taskandgo.clock import Clock
from taskandgo.heard_runners import HeardRunners


class WatchCluster:
    """The use case of WatchCluster."""

    def __init__(
        self, broker: Broker, runners: HeardRunners, rates: EventRates, open_tasks: ReadOpenTasks, clock: Clock
    ) -> None:
        self._broker = broker
        self._runners = runners
        self._rates = rates
        self._open_tasks = open_tasks
        self._clock = clock
        self._watchers = 0
        self._stopping = False
        self._next: asyncio.Future[api.Cluster] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()

    async def __call__(self) -> AsyncIterator[api.Cluster]:
        """How everything is: at once, and then each second."""
        self._watchers += 1
        try:
            if not self._stopping and (self._telling is None or self._telling.done()):
                self._telling = asyncio.get_running_loop().create_task(self._tell())
            self._hurried.set()
            while not self._stopping:
                yield await asyncio.shield(self._following())
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._hurried.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Leaving the context lets go of all who watch, and waits for what is under way."""
        try:
            yield
        finally:
            self._stopping = True
            self._hurried.set()
            if self._telling:
                await self._telling

    def _following(self) -> "asyncio.Future[api.Cluster]":
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    async def _tell(self) -> None:
        since = asyncio.get_running_loop().time() - EVERY_SECONDS
        while self._watchers:
            self._hurried.clear()
            await self._rates.listen()
            await self._open_tasks.keep_up()
            now = asyncio.get_running_loop().time()
            self._following().set_result(self._cluster(max(now - since, EVERY_SECONDS / 10)))
            self._next, since = None, now
            if self._stopping:
                break
            await self._pause()
        await self._rates.rest()
        await self._open_tasks.close()
        self._telling = None
        if self._watchers and not self._stopping:
            # Somebody has come in the meantime.
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    def _cluster(self, seconds: float) -> api.Cluster:
        heard = Heard(self._clock.now(), self._broker.connected, self._runners.all(), self._rates.take(), seconds)
        return cluster(heard, self._open_tasks.latest, store_answers=self._open_tasks.answers)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                await self._hurried.wait()
        except TimeoutError:
            pass
