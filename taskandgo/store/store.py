"""The store as services see it: every call is one transaction, and concurrent calls of a kind share one.

Promises: what a call answered is committed; StoreAwayError means that nothing was recorded, as far as is known.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.messages import ChunkFinished
from taskandgo.store import accept, cancel, chunks, outbox, reads, results
from taskandgo.store.database import Database
from taskandgo.store.group_commit import GroupCommit
from taskandgo.store.records import (
    Acceptance,
    FinishedTask,
    NewChunk,
    OpenChunk,
    Recorded,
    Replaced,
    Submission,
    TaskFilter,
    TaskRecord,
    UnfinishedTask,
    Waiting,
)
from taskandgo.task import TaskSpec
from taskandgo.words import TaskState

LARGEST = 400
#: How long work that no answer waits for may wait for more of its kind.
LINGER_SECONDS = 0.05

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Work = Callable[[AsyncConnection, Sequence[Item]], Awaitable[Sequence[Answer]]]


class Store:
    """Tasks, chunks, results and the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accepting = self._grouped(accept.accept)
        self._confirming = self._grouped(outbox.confirm, LINGER_SECONDS)
        self._opening = self._grouped(chunks.open_chunks)
        self._starting = self._grouped(chunks.start_chunks)
        self._replacing = self._grouped(chunks.replace_lost)
        self._recording = self._grouped(results.record_results)
        self._cancelling = self._grouped(cancel.cancel_tasks)

    async def accept_task(self, submission: Submission) -> Acceptance:
        """Keep the task, unless its id is known."""
        return await self._accepting.submit(submission)

    async def accept_tasks(self, submissions: Sequence[Submission]) -> list[Acceptance]:
        """Keep the tasks whose ids are unknown; an answer for each, in their order."""
        return list(await asyncio.gather(*map(self._accepting.submit, submissions)))

    async def confirm_published(self, task_id: str, kind: str) -> None:
        """The broker holds the task's message of this kind (its routing key)."""
        await self._confirming.submit((task_id, kind))

    async def unconfirmed(self, kind: str, limit: int, older_than: datetime) -> list[TaskSpec]:
        """Tasks whose message of this kind has not been confirmed since before `older_than`."""
        return await self._database.read(lambda c: outbox.unconfirmed(c, kind, limit, older_than))

    async def open_chunks(self, task_id: str, new: Sequence[NewChunk]) -> list[OpenChunk]:
        """Give an open task its chunks, once; those that have not finished, none if the task is not open."""
        return await self._opening.submit((task_id, new))

    async def start_chunk(
        self, task_id: str, chunk_index: int, attempt: int, runner: str, started_at: datetime
    ) -> bool:
        """A runner began this attempt; nothing happens if it is no longer the present one.

        True if the task has been cancelled, so that nobody wants what runs.
        """
        return await self._starting.submit((task_id, chunk_index, attempt, runner, started_at))

    async def record_result(self, message: ChunkFinished, settle: results.Settle) -> Recorded:
        """Record the result if its attempt is the present one; `settle` says whether that finishes the task."""
        return await self._recording.submit((message, settle))

    async def replace_lost(self, task_id: str, chunk_index: int, attempt: int, max_lost: int) -> Replaced:
        """This attempt died with its runner: the next one, unless `max_lost` runners died running the chunk."""
        return await self._replacing.submit((task_id, chunk_index, attempt, max_lost))

    async def cancel_task(self, task_id: str, at: datetime) -> TaskRecord | None:
        """Cancel the task if it is open; the task afterwards, None if unknown."""
        return await self._cancelling.submit((task_id, at))

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """The task, with its result if it is final."""
        return await self._database.read(lambda c: reads.get_task(c, task_id))

    async def list_tasks(self, wanted: TaskFilter) -> list[TaskRecord]:
        """A page of tasks without output, the newest first."""
        return await self._database.read(lambda c: reads.list_tasks(c, wanted))

    async def summary(self, task_id: str) -> FinishedTask | None:
        """The task as it is announced, if it is final."""
        return await self._database.read(lambda c: reads.summary(c, task_id))

    async def unfinished(self, after_task_id: str, limit: int) -> list[UnfinishedTask]:
        """A page of tasks that have not finished, in the order of their ids."""
        return await self._database.read(lambda c: reads.unfinished(c, after_task_id, limit))

    async def waiting(self) -> list[Waiting]:
        """The queued tasks, counted by priority."""
        return await self._database.read(reads.waiting)

    async def count_by_state(self) -> dict[TaskState, int]:
        """All tasks, counted by state."""
        return await self._database.read(reads.count_by_state)

    async def ping(self) -> None:
        """Return if the store answers; StoreAwayError if not."""
        await self._database.read(reads.ping)

    async def drain(self) -> None:
        """Return when everything submitted is committed or has failed."""
        groups = (
            self._accepting,
            self._confirming,
            self._opening,
            self._starting,
            self._replacing,
            self._recording,
            self._cancelling,
        )
        await asyncio.gather(*(group.drain() for group in groups))

    def _grouped(self, work: Work[Item, Answer], linger_seconds: float = 0.0) -> GroupCommit[Item, Answer]:
        async def flush(items: Sequence[Item]) -> Sequence[Answer]:
            return await self._database.write(lambda connection: work(connection, items))

        return GroupCommit(flush, LARGEST, linger_seconds)
