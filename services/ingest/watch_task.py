"""Runs because a client watches a task: the present state, then each change and output, to the final state.

Promises: ends with the final state even when an event was lost on the way, since the store is asked again
now and then; output that no event brought is taken from the result.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

from services.ingest.get_task import unknown_task
from services.ingest.task_status import output, task_status
from services.ingest.watchers import Events, TaskEvent, Watchers
from taskandgo.api import scheduler_pb2 as api
from taskandgo.messages import ChunkOutput, ChunkStarted
from taskandgo.store.records import TaskRecord
from taskandgo.store.store import Store
from taskandgo.words import Stream, TaskState

#: How long a lost event can hide a change from a watcher.
ASK_AGAIN_SECONDS = 5.0

TaskView = api.TaskStatus | api.Output


@dataclass(slots=True)
class Seen:
    """What a watcher has been told: the state, and the end of each stream by attempt."""

    record: TaskRecord
    ends: dict[tuple[int, Stream], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WatchTask:
    """The use case of WatchTask."""

    store: Store
    watchers: Watchers

    async def __call__(self, task_id: str) -> AsyncIterator[TaskView]:
        """Everything that happens to the task; NOT_FOUND if there is none."""
        async with self.watchers.follow(task_id) as following:
            await following.bound
            async for view in self.views(await self.record(task_id), following.events):
                yield view

    async def views(self, record: TaskRecord, events: Events) -> AsyncIterator[TaskView]:
        """The same from a state that is known, over events that are followed already."""
        seen = Seen(record)
        yield task_status(seen.record)
        while not seen.record.state.final:
            for view in await self._next(seen, events):
                yield view

    async def _next(self, seen: Seen, events: Events) -> list[TaskView]:
        event = await _event(events)
        if isinstance(event, ChunkOutput):
            return _output(seen, event)
        if isinstance(event, ChunkStarted):
            return _started(seen, event)
        record = await self.record(seen.record.task_id)
        if record.state is seen.record.state:
            return []
        seen.record = record
        return [*_rest(seen), task_status(record)]

    async def record(self, task_id: str) -> TaskRecord:
        """The task as the store has it; NOT_FOUND if there is none."""
        record = await self.store.get_task(task_id)
        if record is None:
            raise unknown_task(task_id)
        return record


async def _event(events: Events) -> TaskEvent | None:
    try:
        async with asyncio.timeout(ASK_AGAIN_SECONDS):
            return await events.get()
    except TimeoutError:
        return None


def _output(seen: Seen, event: ChunkOutput) -> list[TaskView]:
    seen.ends[event.attempt, event.stream] = event.offset + len(event.data)
    return [output(event)]


def _started(seen: Seen, event: ChunkStarted) -> list[TaskView]:
    if seen.record.state is TaskState.RUNNING:
        return []
    seen.record = msgspec.structs.replace(seen.record, state=TaskState.RUNNING, started_at=event.started_at)
    return [task_status(seen.record)]


def _rest(seen: Seen) -> list[TaskView]:
    """What the result holds beyond the output that events brought."""
    result = seen.record.result
    if result is None:
        return []
    views: list[TaskView] = []
    for stream, written in ((Stream.STDOUT, result.stdout), (Stream.STDERR, result.stderr)):
        end = seen.ends.get((seen.record.attempt, stream), 0)
        if data := written[end:]:
            views.append(
                output(
                    ChunkOutput(
                        task_id=seen.record.task_id,
                        chunk_index=0,
                        attempt=seen.record.attempt,
                        stream=stream,
                        offset=end,
                        data=data,
                    )
                )
            )
    return views
