"""The store as services see it: every call is one transaction, and concurrent calls of a kind share one.

Promises: what a call answered is committed; StoreAwayError means that nothing was recorded, as far as is known.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.explanation.facts import TaskFacts
from taskandgo.store import (
    accept,
    cancel,
    chunk_counts,
    chunks,
    facts,
    gathered,
    in_flight,
    manifest,
    open_tasks,
    outbox,
    reads,
    remove,
    results,
    retry,
    search,
    stragglers,
    timers,
)
from taskandgo.store.blob_store import BlobStore
from taskandgo.store.chunk_counts import ChunkCount
from taskandgo.store.database import Database
from taskandgo.store.group_commit import GroupCommit
from taskandgo.store.open_tasks import OpenLevel
from taskandgo.store.outputs import Outputs
from taskandgo.store.recent_ends import RecentEnds
from taskandgo.store.records import (
    Acceptance,
    ChunkFilter,
    ChunkRecord,
    Due,
    Ending,
    Expired,
    FinishedTask,
    OpenChunk,
    OpenTask,
    Recorded,
    ReduceInput,
    Retried,
    Stragglers,
    Submission,
    TaskFilter,
    TaskRecord,
    Unconfirmed,
    UnfinishedTask,
    Waiting,
)
from taskandgo.store.search import FoundTasks, TaskSearch
from taskandgo.task import TaskSpec
from taskandgo.words import Outcome, Priority, TaskState

LARGEST = 400
#: How long work that no answer waits for may wait for more of its kind.
LINGER_SECONDS = 0.05
#: Most attempts end so soon after their start that recording it would be work for nothing.
START_LINGER_SECONDS = 0.02
#: Longer than a start: whether a lost attempt had started decides whether its runner died of it.
LOST_LINGER_SECONDS = 0.04

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Work = Callable[[AsyncConnection, Sequence[Item]], Awaitable[Sequence[Answer]]]


class Store:
    """Tasks, chunks, results and the outbox; `blobs` and `outputs` are what is too large to be held at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.blobs = BlobStore(database)
        self.outputs = Outputs(database, self.blobs)
        self._accepting = self._grouped(accept.accept)
        self._confirming = GroupCommit(self._confirm, LARGEST, LINGER_SECONDS, "confirm")
        self._opening = self._grouped(chunks.open_chunks)
        self._ends = RecentEnds()
        self._starting = GroupCommit(self._start, LARGEST, START_LINGER_SECONDS, "start_chunks")
        self._waking = self._grouped(chunks.wake_chunks)
        self._recording = self._grouped(results.record_endings)
        self._losing = self._grouped(results.record_endings, LOST_LINGER_SECONDS)
        self._cancelling = self._grouped(cancel.cancel_tasks)
        self._expiring = self._grouped(cancel.expire_tasks)
        self._retrying = self._grouped(retry.retry_tasks)
        self._forgetting = self._grouped(timers.forget)

    async def accept_task(self, submission: Submission) -> Acceptance:
        """Keep the task, unless its id is known."""
        return await self._accepting.submit(submission)

    async def accept_tasks(self, submissions: Sequence[Submission]) -> list[Acceptance]:
        """Keep the tasks whose ids are unknown; an answer for each, in their order."""
        return list(await asyncio.gather(*map(self._accepting.submit, submissions)))

    async def confirm_published(self, task_id: str, kind: str) -> None:
        """The broker holds the task's message of this kind (its routing key)."""
        await self._confirming.submit((task_id, kind))

    async def claim_unconfirmed(self, kind: str, limit: int, older_than: datetime, at: datetime) -> list[Unconfirmed]:
        """Tasks whose message of this kind has not been confirmed since before `older_than`, for this caller alone."""
        return await self._database.write(lambda c: outbox.claim_unconfirmed(c, kind, limit, older_than, at))

    async def open_chunks(self, opening: chunks.Opening) -> list[OpenChunk]:
        """Cut an open task into so many chunks, once; those to be emitted now, none if the task is not open."""
        return await self._opening.submit(opening)

    async def start_chunk(
        self, task_id: str, chunk_index: int, attempt: int, runner: str, started_at: datetime
    ) -> bool:
        """A runner began this attempt; nothing happens if it has ended, or is no longer the present one.

        True if the task has been cancelled, so that nobody wants what runs.
        """
        return await self._starting.submit((task_id, chunk_index, attempt, runner, started_at))

    async def record_ending(self, ending: Ending, advance: results.Advance) -> Recorded:
        """Apply the end of an attempt, if it counts; `advance` says how task and chunk go on."""
        message = ending.message
        if message.result.outcome is Outcome.LOST:
            return await self._losing.submit((ending, advance))
        self._ends.add((message.task_id, message.chunk_index, message.attempt))
        return await self._recording.submit((ending, advance))

    async def wake_chunk(self, due: Due, at: datetime) -> OpenChunk | None:
        """The chunk whose retry is due, to be emitted now; None if there is nothing to emit any more."""
        return await self._waking.submit((due, at))

    async def duplicate_stragglers(
        self, task_id: str, now: datetime, patience: stragglers.Patience, *, again: bool
    ) -> Stragglers:
        """Give chunks that run longer than `patience` seconds a second attempt."""
        return await self._database.write(
            lambda c: stragglers.duplicate_stragglers(c, task_id, now, patience, again=again)
        )

    async def reduce_input(self, task_id: str, most_bytes: int) -> ReduceInput:
        """What the task's chunks wrote, for its reduce."""
        return await self._database.read(lambda c: gathered.reduce_input(c, task_id, most_bytes))

    async def cancel_task(self, task_id: str, at: datetime) -> TaskRecord | None:
        """Cancel the task if it is open; the task afterwards, None if unknown."""
        return await self._cancelling.submit((task_id, at))

    async def expire_task(self, task_id: str, at: datetime) -> Expired | None:
        """End the task if it has not started; None if it is not expired."""
        return await self._expiring.submit((task_id, at))

    async def retry_task(self, task_id: str, at: datetime) -> Retried | None:
        """Run again what did not succeed of a finished task; None if it is unknown."""
        return await self._retrying.submit((task_id, at))

    async def next_due(self) -> datetime | None:
        """When the earliest timer is due."""
        return await self._database.read(timers.next_due)

    async def claim_due(self, now: datetime, until: datetime, limit: int) -> list[Due]:
        """Take timers that are due, for this caller alone until an instant."""
        return await self._database.write(lambda c: timers.claim_due(c, now, until, limit))

    async def forget_timer(self, due: Due) -> None:
        """This timer has been dealt with."""
        await self._forgetting.submit(due)

    async def put_off_timer(self, due: Due, at: datetime) -> None:
        """This timer has been dealt with for now, and is due again."""
        await self._database.write(lambda c: timers.put_off(c, due, at))

    async def load_spec(self, task_id: str) -> TaskSpec | None:
        """The task as it was accepted."""
        return await self._database.read(lambda c: reads.load_spec(c, task_id))

    async def list_chunks(self, wanted: ChunkFilter) -> list[ChunkRecord] | None:
        """A page of a task's chunks without output; None if the task is unknown."""
        return await self._database.read_one_instant(lambda c: manifest.list_chunks(c, wanted))

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """The task, with its result if it is final."""
        found = await self._database.read(lambda c: reads.get_task(c, task_id))
        if found is None or found.state not in retry.UNSUCCESSFUL:
            return found
        # It may have begun to run again while it was read; what succeeded never does.
        return await self._database.read_one_instant(lambda c: reads.get_task(c, task_id))

    async def task_facts(self, task_id: str) -> TaskFacts | None:
        """What an explanation is drawn from; None if the task is unknown."""
        return await self._database.read_one_instant(lambda c: facts.task_facts(c, task_id))

    async def list_tasks(self, wanted: TaskFilter) -> list[TaskRecord]:
        """A page of tasks without output, the newest first."""
        return await self._database.read(lambda c: reads.list_tasks(c, wanted))

    async def search_tasks(self, wanted: TaskSearch) -> FoundTasks:
        """The next tasks that a person looks for."""
        return await self._database.read(lambda c: search.search_tasks(c, wanted))

    async def running_tasks(self) -> list[TaskRecord]:
        """Tasks that run, the oldest first, up to a thousand."""
        return await self._database.read(search.running_tasks)

    async def still_open(self, task_ids: Sequence[str]) -> set[str]:
        """Which of these tasks have not ended."""
        return await self._database.read(lambda c: search.still_open(c, task_ids))

    async def task_row(self, task_id: str) -> TaskRecord | None:
        """The task without its result, however much that is."""
        return await self._database.read(lambda c: search.task_row(c, task_id))

    async def open_levels(self) -> Sequence[OpenLevel]:
        """The open tasks, counted by priority, the most urgent first."""
        return await self._database.read(open_tasks.open_levels)

    async def count_accepted(self, since: datetime, until: datetime) -> int:
        """How many tasks were accepted from one instant up to another."""
        return await self._database.read(lambda c: open_tasks.count_accepted(c, since, until))

    async def count_chunks(self, task_id: str, chunk_count: int, together: int) -> list[ChunkCount]:
        """How the task's chunks are doing, so many neighbours at a time."""
        return await self._database.read(lambda c: chunk_counts.count_chunks(c, task_id, chunk_count, together))

    async def remove_finished(self, before: datetime, limit: int) -> int:
        """Remove so many tasks that finished before an instant, with all that is theirs; how many they were."""
        return await self._database.write(lambda c: remove.remove_finished(c, before, limit))

    async def summary(self, task_id: str) -> FinishedTask | None:
        """The task as it is announced, if it is final."""
        return await self._database.read(lambda c: reads.summary(c, task_id))

    async def unfinished(self, after_task_id: str, limit: int) -> list[UnfinishedTask]:
        """A page of tasks that have not finished, in the order of their ids."""
        return await self._database.read(lambda c: reads.unfinished(c, after_task_id, limit))

    async def load_specs(self, task_ids: Collection[str]) -> dict[str, TaskSpec]:
        """The tasks as they were accepted, by id; unknown ones are left out."""
        return await self._database.read(lambda c: reads.load_specs(c, task_ids))

    async def is_running(self, task_id: str, chunk_index: int, attempt: int) -> bool:
        """Whether this attempt has begun, and its result would count."""
        return await self._database.read(lambda c: reads.is_running(c, task_id, chunk_index, attempt))

    async def open_tasks(self, priority: Priority, after: in_flight.Place | None, limit: int) -> list[OpenTask]:
        """The next open tasks of a priority, the oldest first, with their chunks in flight."""
        return await self._database.read(lambda c: in_flight.open_tasks(c, priority, after, limit))

    async def claim_chunks(self, claims: Sequence[in_flight.Claim], at: datetime) -> dict[str, list[OpenChunk]]:
        """By task, the chunks that are still in the queue as they were seen, for this caller to emit them again."""
        return await self._database.write(lambda c: in_flight.claim_chunks(c, claims, at))

    async def waiting(self) -> list[Waiting]:
        """The open tasks whose start is due, counted by priority and pool."""
        return await self._database.read(reads.waiting)

    async def count_queued(self) -> tuple[int, dict[str, int]]:
        """How many tasks are queued, and how many of each tenant (the label `tenant`)."""
        return await self._database.read(reads.count_queued)

    async def count_by_state(self) -> dict[TaskState, int]:
        """All tasks, counted by state."""
        return await self._database.read(reads.count_by_state)

    async def ping(self) -> None:
        """Return if the store answers; StoreAwayError if not."""
        await self._database.read(reads.ping)

    async def drain(self) -> None:
        """Return when everything submitted is committed or has failed."""
        groups = (
            *(self._accepting, self._confirming, self._opening, self._starting, self._waking),
            *(self._recording, self._losing, self._cancelling, self._expiring, self._retrying, self._forgetting),
        )
        await asyncio.gather(*(group.drain() for group in groups))

    async def _confirm(self, confirmed: Sequence[outbox.Confirmed]) -> Sequence[None]:
        return await self._database.change(lambda connection: outbox.confirm(connection, confirmed))

    async def _start(self, starts: Sequence[chunks.Start]) -> Sequence[bool]:
        going_on = [start for start in starts if not self._ends.take(start[:3])]
        if not going_on:
            return [False] * len(starts)
        answers = await self._database.write(lambda connection: chunks.start_chunks(connection, going_on))
        unwanted = dict(zip((start[:3] for start in going_on), answers, strict=True))
        return [unwanted.get(start[:3], False) for start in starts]

    def _grouped(self, work: Work[Item, Answer], linger_seconds: float = 0.0) -> GroupCommit[Item, Answer]:
        async def flush(items: Sequence[Item]) -> Sequence[Answer]:
            return await self._database.write(lambda connection: work(connection, items))

        return GroupCommit(flush, LARGEST, linger_seconds, work.__name__)
