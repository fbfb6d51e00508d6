"""What services ask of the store. Calls that many make at once share a commit; each is one transaction.

Promises: what a call has answered is committed; StoreAwayError means that nothing was recorded; every
transition is conditional, so that of two callers only one makes it.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.messages import ChunkFinished
from taskandgo.store import accept, chunks, reads, results
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

#: Rows in one statement: both databases bound its parameters to some 32,000.
LARGEST = 400


class Store:
    """The store, over one database."""

    def __init__(self, database: Database) -> None:
        run = database.run
        self._run = run
        self._accept = GroupCommit[Submission, Acceptance](lambda items: run(partial(_accept, items)), LARGEST)
        self._confirm = GroupCommit[tuple[str, str], None](lambda items: run(partial(_confirm, items)), LARGEST)
        self._open = GroupCommit[tuple[str, Sequence[NewChunk]], list[OpenChunk]](
            lambda items: run(partial(_open, items)), LARGEST
        )
        self._start = GroupCommit[chunks.Start, None](lambda items: run(partial(_start, items)), LARGEST)
        self._record = GroupCommit[tuple[ChunkFinished, results.Settle], Recorded](
            lambda items: run(partial(_record, items)), LARGEST
        )

    async def accept_task(self, submission: Submission) -> Acceptance:
        """Keep the task if its id is new."""
        return await self._accept.submit(submission)

    async def accept_tasks(self, submissions: Sequence[Submission]) -> list[Acceptance]:
        """Keep the tasks whose ids are new; an answer for each, in order."""
        answers: list[Acceptance] = []
        for start in range(0, len(submissions), LARGEST):
            answers += await self._run(partial(_accept, submissions[start : start + LARGEST]))
        return answers

    async def confirm_published(self, task_id: str, kind: str) -> None:
        """The broker holds the task's announcement of this kind."""
        await self._confirm.submit((task_id, kind))

    async def unconfirmed(self, kind: str, limit: int, older_than: datetime) -> list[TaskSpec]:
        """The oldest tasks whose announcement is not confirmed."""
        return await self._run(lambda connection: accept.unconfirmed(connection, kind, limit, older_than))

    async def cancel_task(self, task_id: str, at: datetime) -> TaskRecord | None:
        """Cancel the task unless it has finished; the task as it is then, None if there is none."""
        await self._run(lambda connection: accept.cancel_task(connection, task_id, at))
        return await self.get_task(task_id)

    async def open_chunks(self, task_id: str, new: Sequence[NewChunk]) -> list[OpenChunk]:
        """Make the task's chunks if it is open and has none; those that have not finished."""
        return await self._open.submit((task_id, new))

    async def start_chunk(
        self, task_id: str, chunk_index: int, attempt: int, runner: str, started_at: datetime
    ) -> None:
        """The chunk is running, if it is still at this attempt."""
        await self._start.submit((task_id, chunk_index, attempt, runner, started_at))

    async def record_result(self, message: ChunkFinished, settle: results.Settle) -> Recorded:
        """Record the result once, and finish the task if `settle(chunk_count, succeeded, failed)` says how."""
        return await self._record.submit((message, settle))

    async def replace_lost(self, task_id: str, chunk_index: int, attempt: int, max_lost: int) -> Replaced:
        """What follows the loss of the attempt."""
        return await self._run(
            lambda connection: chunks.replace_lost(connection, task_id, chunk_index, attempt, max_lost)
        )

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """The task with its result; None if there is none."""
        return await self._run(lambda connection: reads.get_task(connection, task_id))

    async def list_tasks(self, wanted: TaskFilter) -> list[TaskRecord]:
        """Tasks, the newest first, without output."""
        return await self._run(lambda connection: reads.list_tasks(connection, wanted))

    async def summary(self, task_id: str) -> FinishedTask | None:
        """The task as it is announced, if it has finished."""
        return (await self._run(lambda connection: reads.finished_tasks(connection, [task_id]))).get(task_id)

    async def unfinished(self, after_task_id: str, limit: int) -> list[UnfinishedTask]:
        """Tasks that have not finished, by id, from the one after `after_task_id` on."""
        return await self._run(lambda connection: reads.unfinished(connection, after_task_id, limit))

    async def waiting(self) -> list[Waiting]:
        """How many tasks are queued, by priority."""
        return await self._run(reads.waiting)

    async def count_by_state(self) -> dict[TaskState, int]:
        """How many tasks are in each state."""
        return await self._run(reads.count_by_state)

    async def ping(self) -> None:
        """Return if the database answers."""
        await self._run(lambda connection: connection.execute(text("SELECT 1")))


async def _accept(items: Sequence[Submission], connection: AsyncConnection) -> list[Acceptance]:
    return await accept.accept_tasks(connection, items)


async def _confirm(items: Sequence[tuple[str, str]], connection: AsyncConnection) -> list[None]:
    return await accept.confirm_published(connection, items)


async def _open(items: Sequence[tuple[str, Sequence[NewChunk]]], connection: AsyncConnection) -> list[list[OpenChunk]]:
    return await chunks.open_chunks(connection, items)


async def _start(items: Sequence[chunks.Start], connection: AsyncConnection) -> list[None]:
    return await chunks.start_chunks(connection, items)


async def _record(items: Sequence[tuple[ChunkFinished, results.Settle]], connection: AsyncConnection) -> list[Recorded]:
    return await results.record_results(connection, items)
