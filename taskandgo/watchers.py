"""Hands each task's events to whoever watches it here; fed from a queue of this service's own.

Promises: events that are published once `bound` is done arrive, in order, unless the watcher takes them so
slowly that too many wait; nothing stays bound for tasks that nobody watches.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from taskandgo.broker.broker import Ack, Delivery, Disposition, Reject, Subscription
from taskandgo.errors import BrokerAwayError, UndecodableError
from taskandgo.messages import ChunkOutput, ChunkStarted, TaskFinished, decode

TaskEvent = ChunkStarted | ChunkOutput | TaskFinished
Events = asyncio.Queue[TaskEvent]

#: Events that wait for a slow watcher; beyond, they are lost to it, and the result has what they brought.
KEPT_EVENTS = 500

KEYS = ("chunk.started.{}", "chunk.output.{}", "task.finished.{}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Following:
    """A task's events; `bound` is done when those published from now on will arrive."""

    events: Events
    bound: asyncio.Task[None]


class Watchers:
    """Who watches which task."""

    def __init__(self) -> None:
        self._events: dict[str, set[Events]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self.subscription: Subscription | None = None

    async def on_task_event(self, delivery: Delivery) -> Disposition:
        """Pass a ChunkStarted, ChunkOutput or TaskFinished on to its watchers."""
        try:
            message = decode(delivery.body)
        except UndecodableError as error:
            return Reject(str(error))
        if isinstance(message, ChunkStarted | ChunkOutput | TaskFinished):
            self.pass_on(message)
        return Ack()

    def pass_on(self, message: TaskEvent) -> None:
        """Hand it to its watchers, as far as they keep up."""
        for events in self._events.get(message.task_id, ()):
            if not events.full():
                events.put_nowait(message)

    @asynccontextmanager
    async def follow(self, task_id: str) -> AsyncIterator[Following]:
        """The task's events, while the context lasts."""
        events: Events = asyncio.Queue(KEPT_EVENTS)
        self._events.setdefault(task_id, set()).add(events)
        bound = self._in_background(self._bind(task_id))
        try:
            yield Following(events, bound)
        finally:
            self._events[task_id].discard(events)
            if not self._events[task_id]:
                del self._events[task_id]
                # Whoever watched has the last event already, and shall not wait for this.
                self._in_background(self._unbind(task_id, bound))

    async def stop(self) -> None:
        """Take no more events; return when nothing is under way."""
        assert self.subscription is not None
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self.subscription.stop()

    async def _bind(self, task_id: str) -> None:
        assert self.subscription is not None
        try:
            await asyncio.gather(*(self.subscription.bind(key.format(task_id)) for key in KEYS))
        except BrokerAwayError as error:
            # The watcher asks the store now and then, so it only hears of everything later.
            log.warning("watch.without_events", task_id=task_id, error=str(error))

    async def _unbind(self, task_id: str, bound: asyncio.Task[None]) -> None:
        assert self.subscription is not None
        await asyncio.wait([bound])
        if task_id in self._events:
            # Somebody else has come to watch it meanwhile.
            return
        try:
            await asyncio.gather(*(self.subscription.unbind(key.format(task_id)) for key in KEYS))
        except BrokerAwayError as error:
            log.warning("watch.not_unbound", task_id=task_id, error=str(error))

    def _in_background(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task
