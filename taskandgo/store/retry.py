"""Running a finished task again as far as it did not succeed; called by ingest.

Promises: what succeeded is kept; new attempts have higher numbers than all before, so that a late end of one of
those changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.accept import SUBMITTED, set_own_timers
from taskandgo.store.cancel import highest_attempts
from taskandgo.store.database import insert_new
from taskandgo.store.locks import lock_tasks
from taskandgo.store.records import Retried
from taskandgo.store.tables import chunk, outbox, task, timer
from taskandgo.task import TaskSpec
from taskandgo.words import Outcome, TaskState

Wish = tuple[str, datetime]
#: A task in one of these states may run again.
UNSUCCESSFUL = (TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED)


async def retry_tasks(connection: AsyncConnection, wishes: Sequence[Wish]) -> list[Retried | None]:
    """What became of each wish; None where the task is unknown."""
    rows = await lock_tasks(connection, (task_id for task_id, _ in wishes))
    answers: dict[str, Retried] = {}
    for task_id, at in wishes:
        if task_id in rows and task_id not in answers:
            answers[task_id] = await _retry(connection, rows[task_id], at)
    return [answers.get(task_id) for task_id, _ in wishes]


async def _retry(connection: AsyncConnection, row: Row[Any], at: datetime) -> Retried:
    state = TaskState(row.state)
    if state not in UNSUCCESSFUL:
        return Retried(state=state)
    task_id = row.task_id
    highest = await highest_attempts(connection, [task_id])
    await _reopen(connection, task_id, max(row.last_attempt, highest.get(task_id, 0)))
    failed = or_(chunk.c.outcome != Outcome.SUCCEEDED.value, chunk.c.chunk_index >= row.chunk_count)
    await connection.execute(delete(chunk).where(chunk.c.task_id == task_id, failed))
    await connection.execute(delete(timer).where(timer.c.task_id == task_id))
    await connection.execute(delete(outbox).where(outbox.c.task_id == task_id))
    await connection.execute(
        insert_new(connection.dialect.name, outbox), [{"task_id": task_id, "kind": SUBMITTED, "written_at": at}]
    )
    body = await connection.scalar(select(task.c.spec).where(task.c.task_id == task_id))
    spec = msgspec.msgpack.decode(body or b"", type=TaskSpec)
    # An instant that has passed is no reason to expire it, since somebody wants it now.
    await set_own_timers(connection, [spec], after=at)
    return Retried(state=state, chunks=max(1, row.chunk_count - row.chunks_succeeded), task=spec)


async def _reopen(connection: AsyncConnection, task_id: str, last_attempt: int) -> None:
    again = {"state": TaskState.QUEUED.value, "outcome": None, "started_at": None, "finished_at": None}
    counts = {"chunks_failed": 0, "chunks_ready": 0, "chunks_running": 0, "next_chunk": 0}
    statement = update(task).where(task.c.task_id == task_id)
    await connection.execute(statement.values(**again, **counts, last_attempt=last_attempt))
