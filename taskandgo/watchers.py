"""Hands each task's events to whoever watches it here; fed from a queue of this service's own.

Promises: events that are published once `bound` is done arrive, in order, unless the watcher takes them so
slowly that too many wait; nothing stays bound for tasks that nobody watches. What carries this ingest's name as
its watcher arrives anyway, so that a task that ends soon needs no binding of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog

from taskandgo.broker.broker import Ack, Delivery, Disposition, Reject, Subscription
from taskandgo.broker.topology import listener
from taskandgo.errors import BrokerAwayError, UndecodableError
from taskandgo.messages import ChunkOutput, ChunkStarted, TaskFinished, decode

TaskEvent = ChunkStarted | ChunkOutput | TaskFinished
#: None: something may have happened that no event told.
Events = asyncio.Queue[TaskEvent | None]

#: Events that wait for a slow watcher; beyond, they are lost to it, and the result has what they brought.
KEPT_EVENTS = 500

EVENTS = ("chunk.started", "chunk.output", "task.finished")
#: A task that a client submitted here and stays with is ended elsewhere (cancelled, expired) at worst: no haste.
LATE_SECONDS = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Following:
    """A task's events; `bound` is done when those published from now on will arrive."""

    events: Events
    bound: asyncio.Task[None]


class Watchers:
    """Who watches which task."""

    def __init__(self) -> None:
        self.name = uuid4().hex
        self.queue = listener(f"ingest.task-events.{self.name}", *(f"{event}.{self.name}.#" for event in EVENTS))
        self._bindings: dict[str, asyncio.Task[None]] = {}
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
    async def follow(self, task_id: str, *, late: bool = False) -> AsyncIterator[Following]:
        """The task's events, while the context lasts; bound late if those that count name this ingest as watcher."""
        events: Events = asyncio.Queue(KEPT_EVENTS)
        self._events.setdefault(task_id, set()).add(events)
        bound = self._in_background(self._bind_late(task_id, events)) if late else self._bind(task_id)
        try:
            yield Following(events, bound)
        finally:
            if late:
                bound.cancel()
            self._events[task_id].discard(events)
            if not self._events[task_id]:
                del self._events[task_id]
                self._unbind(task_id)

    async def stop(self) -> None:
        """Take no more events; return when nothing is under way."""
        assert self.subscription is not None
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self.subscription.stop()

    async def _bind_late(self, task_id: str, events: Events) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await asyncio.shield(self._bind(task_id))
        if not events.full():
            events.put_nowait(None)

    def _bind(self, task_id: str) -> asyncio.Task[None]:
        if task_id not in self._bindings:
            self._bindings[task_id] = self._in_background(self._bind_keys(task_id))
        return self._bindings[task_id]

    def _unbind(self, task_id: str) -> None:
        if binding := self._bindings.pop(task_id, None):
            # Whoever watched has the last event already, and shall not wait for this.
            self._in_background(self._unbind_keys(task_id, binding))

    async def _bind_keys(self, task_id: str) -> None:
        assert self.subscription is not None
        try:
            await asyncio.gather(*(self.subscription.bind(f"{event}.*.{task_id}") for event in EVENTS))
        except BrokerAwayError as error:
            # The watcher asks the store now and then, so it only hears of everything later.
            log.warning("watch.without_events", task_id=task_id, error=str(error))

    async def _unbind_keys(self, task_id: str, bound: asyncio.Task[None]) -> None:
        assert self.subscription is not None
        await asyncio.wait([bound])
        if task_id in self._events:
            # Somebody else has come to watch it meanwhile, and unbinds it on leaving even if it bound nothing itself.
            self._bindings.setdefault(task_id, bound)
            return
        try:
            await asyncio.gather(*(self.subscription.unbind(f"{event}.*.{task_id}") for event in EVENTS))
        except BrokerAwayError as error:
            log.warning("watch.not_unbound", task_id=task_id, error=str(error))

    def _in_background(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task
