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
from taskandgo.api import scheduler_pb2 as api
from taskandgo.messages import ChunkOutput, ChunkStarted
from taskandgo.store.records import TaskRecord
from taskandgo.store.store import Store
from taskandgo.watchers import Events, TaskEvent, Watchers
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
                    if isinstance(view, api.TaskStatus):
                        async for block in self._rest(seen):
                            yield block
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

    async def _rest(self, seen: Seen) -> AsyncIterator[TaskView]:
        """What is kept beyond the output that events brought; of many chunks it does not tell which."""
        record, result = seen.record, seen.record.result
        if result is None or record.strategy is Strategy.SPLIT:
            return
        kept = (
            (Stream.STDOUT, result.stdout, record.stdout_bytes),
            (Stream.STDERR, result.stderr, record.stderr_bytes),
        )
        for stream, beginning, kept_bytes in kept:
            end, place = seen.ends.get((record.attempt, stream), 0), 0
            whole = len(beginning) >= kept_bytes
            async for block in _one(beginning) if whole else self.store.outputs.of_task(record.task_id, stream):
                if data := block[max(0, end - place) :]:
                    yield output(_block(record, stream, place + len(block) - len(data), data))
                place += len(block)

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
    return [task_status(record)]


def _progress(record: TaskRecord) -> tuple[object, ...]:
    ended = (record.chunks_succeeded, record.chunks_failed)
    return record.state, record.chunk_count, *ended, record.chunks_running, record.chunks_ready


def _output(seen: Seen, event: ChunkOutput) -> list[TaskView]:
    key = event.attempt, event.stream
    # After a gap the stream is taken up where it broke off, once the result is there.
    if event.offset <= seen.ends.get(key, event.offset):
        seen.ends[key] = event.offset + len(event.data)
    return [output(event)]


async def _one(block: bytes) -> AsyncIterator[bytes]:
    yield block


def _block(record: TaskRecord, stream: Stream, offset: int, data: bytes) -> ChunkOutput:
    return ChunkOutput(
        task_id=record.task_id, chunk_index=0, attempt=record.attempt, stream=stream, offset=offset, data=data
    )
