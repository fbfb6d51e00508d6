"""Runs because a client watches a task: the present state, then each change and output, to the final state.

Promises: ends with the final state even when an event was lost on the way, since the store is asked again
now and then; how far a task of many chunks has come is told at most once a second; output of a batch task that
no event brought is taken from the result.
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
from taskandgo.words import Strategy, Stream, TaskState

#: How long a lost event can hide a change from a watcher.
ASK_AGAIN_SECONDS = 5.0
#: How often a watcher hears how far a task of many chunks has come; the end of a chunk is no event for watchers.
PROGRESS_SECONDS = 1.0

TaskView = api.TaskStatus | api.Output


@dataclass(slots=True)
class Seen:
    """What a watcher has been told: the state, and the end of each stream by attempt; when to ask the store again."""

    record: TaskRecord
    ends: dict[tuple[int, Stream], int] = field(default_factory=dict)
    ask_at: float = 0.0


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
            seen.ask_at = asyncio.get_running_loop().time() + _patience(seen.record)
            asked = False
            while not asked:
                event = await _event(events, seen.ask_at)
                asked = not isinstance(event, ChunkOutput | ChunkStarted)
                for view in await self._views_of(event, seen):
                    yield view

    async def _views_of(self, event: TaskEvent | None, seen: Seen) -> list[TaskView]:
        if isinstance(event, ChunkOutput):
            return _output(seen, event)
        if isinstance(event, ChunkStarted):
            return await self._started(seen, event)
        return _changed(seen, await self.record(seen.record.task_id))

    async def _started(self, seen: Seen, event: ChunkStarted) -> list[TaskView]:
        if seen.record.state is TaskState.RUNNING:
            return []
        # A batch task has one chunk; how many others have is not in the event.
        batch = seen.record.strategy is Strategy.BATCH
        record = seen.record if batch else await self.record(seen.record.task_id)
        if record.state is TaskState.QUEUED:
            record = msgspec.structs.replace(record, state=TaskState.RUNNING, started_at=event.started_at)
        seen.ask_at = min(seen.ask_at, asyncio.get_running_loop().time() + _patience(record))
        return _changed(seen, record)

    async def record(self, task_id: str) -> TaskRecord:
        """The task as the store has it; NOT_FOUND if there is none."""
        record = await self.store.get_task(task_id)
        if record is None:
            raise unknown_task(task_id)
        return record


async def _event(events: Events, until: float) -> TaskEvent | None:
    """The next event; None when it is time to ask the store, however many events there are."""
    if asyncio.get_running_loop().time() >= until:
        return None
    try:
        async with asyncio.timeout_at(until):
            return await events.get()
    except TimeoutError:
        return None


def _patience(record: TaskRecord) -> float:
    many = record.strategy is Strategy.SPLIT and record.state is TaskState.RUNNING
    return PROGRESS_SECONDS if many else ASK_AGAIN_SECONDS


def _changed(seen: Seen, record: TaskRecord) -> list[TaskView]:
    if record.state is TaskState.QUEUED and seen.record.state is TaskState.RUNNING:
        # The event that it runs was faster than the store.
        record = msgspec.structs.replace(record, state=TaskState.RUNNING, started_at=seen.record.started_at)
    if _progress(record) == _progress(seen.record):
        return []
    seen.record = record
    return [*_rest(seen), task_status(record)]


def _progress(record: TaskRecord) -> tuple[object, ...]:
    ended = (record.chunks_succeeded, record.chunks_failed)
    return record.state, record.chunk_count, *ended, record.chunks_running, record.chunks_ready


def _output(seen: Seen, event: ChunkOutput) -> list[TaskView]:
    seen.ends[event.attempt, event.stream] = event.offset + len(event.data)
    return [output(event)]


def _rest(seen: Seen) -> list[TaskView]:
    """What the result holds beyond the output that events brought; of many chunks it does not tell which."""
    result = seen.record.result
    if result is None or seen.record.strategy is Strategy.SPLIT:
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
