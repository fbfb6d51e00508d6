"""Hands each task's events to whoever watches it here; fed by on_task_event, from this ingest's own queue.

Promises: events that are published after `follow` was entered arrive, in order; nothing is bound for
tasks that nobody watches.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskandgo.broker.broker import Ack, Delivery, Disposition, Reject, Subscription
from taskandgo.errors import UndecodableError
from taskandgo.messages import ChunkOutput, ChunkStarted, TaskFinished, decode

TaskEvent = ChunkStarted | ChunkOutput | TaskFinished
Events = asyncio.Queue[TaskEvent]

KEYS = ("chunk.started.{}", "chunk.output.{}", "task.finished.{}")


class Watchers:
    """Who watches which task."""

    def __init__(self) -> None:
        self._events: dict[str, set[Events]] = {}
        self.subscription: Subscription | None = None

    async def on_task_event(self, delivery: Delivery) -> Disposition:
        """Pass a ChunkStarted, ChunkOutput or TaskFinished on to its watchers."""
        try:
            message = decode(delivery.body)
        except UndecodableError as error:
            return Reject(str(error))
        if isinstance(message, ChunkStarted | ChunkOutput | TaskFinished):
            for events in self._events.get(message.task_id, ()):
                events.put_nowait(message)
        return Ack()

    @asynccontextmanager
    async def follow(self, task_id: str) -> AsyncIterator[Events]:
        """The task's events from now on, while the context lasts."""
        assert self.subscription is not None
        events: Events = asyncio.Queue()
        self._events.setdefault(task_id, set()).add(events)
        try:
            await asyncio.gather(*(self.subscription.bind(key.format(task_id)) for key in KEYS))
            yield events
        finally:
            self._events[task_id].discard(events)
            if not self._events[task_id]:
                del self._events[task_id]
                await asyncio.gather(*(self.subscription.unbind(key.format(task_id)) for key in KEYS))
