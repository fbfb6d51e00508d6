"""Ending a task before its time: it and its chunks in one transaction; by ingest for a client, by a timer when expired.

Promises: a task that is final already stays as it is; whoever is told hears up to which attempt it is meant.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.database import insert_new
from taskandgo.store.locks import OPEN, lock_tasks
from taskandgo.store.reads import get_task
from taskandgo.store.records import Expired, TaskRecord
from taskandgo.store.tables import chunk, outbox, task, timer
from taskandgo.words import ChunkState, Outcome, TaskState, TimerKind

CANCELLED = "task.cancelled"
Ending = tuple[str, datetime]

END_TASK = (
    update(task)
    # Spelt out, since IN cannot be part of a statement over many rows.
    .where(task.c.task_id == bindparam("of_task"), or_(*(task.c.state == state for state in OPEN)))
    .values(
        state=bindparam("to_state"),
        outcome=Outcome.CANCELLED.value,
        finished_at=bindparam("at"),
        chunks_failed=task.c.chunk_count - task.c.chunks_succeeded,
        chunks_ready=0,
        chunks_running=0,
        last_attempt=bindparam("last"),
    )
)
END_CHUNKS = (
    update(chunk)
    .where(chunk.c.task_id == bindparam("of_task"), chunk.c.state != ChunkState.FINISHED.value)
    .values(state=ChunkState.FINISHED.value, outcome=Outcome.CANCELLED.value, finished_at=bindparam("at"))
)


async def cancel_tasks(connection: AsyncConnection, wanted: Sequence[Ending]) -> list[TaskRecord | None]:
    """Each task as it is afterwards; None if unknown."""
    rows = await lock_tasks(connection, (task_id for task_id, _ in wanted))
    ending = {task_id: at for task_id, at in wanted if task_id in rows and rows[task_id].state in OPEN}
    if ending:
        await _end(connection, rows, ending, TaskState.CANCELLED)
        await connection.execute(delete(timer).where(timer.c.task_id.in_(ending)))
        written = [{"task_id": task_id, "kind": CANCELLED, "written_at": at} for task_id, at in sorted(ending.items())]
        await connection.execute(insert_new(connection.dialect.name, outbox), written)
    return [await get_task(connection, task_id) for task_id, _ in wanted]


async def expire_tasks(connection: AsyncConnection, wanted: Sequence[Ending]) -> list[Expired | None]:
    """End those that have not started; for each that is expired, now or before, what has to be told."""
    rows = await lock_tasks(connection, (task_id for task_id, _ in wanted))
    late = {task_id: at for task_id, at in wanted if task_id in rows and rows[task_id].state == TaskState.QUEUED}
    if late:
        await _end(connection, rows, late, TaskState.EXPIRED)
        others = (timer.c.task_id.in_(late), timer.c.kind != TimerKind.EXPIRE.value)
        await connection.execute(delete(timer).where(*others))
    ids = [task_id for task_id, _ in wanted]
    expired = (task.c.task_id.in_(ids), task.c.state == TaskState.EXPIRED.value)
    found = await connection.execute(select(task.c.task_id, task.c.last_attempt).where(*expired))
    last = {row.task_id: row.last_attempt for row in found}
    return [Expired(task_id=i, last_attempt=last[i]) if i in last else None for i in ids]


async def highest_attempts(connection: AsyncConnection, task_ids: Iterable[str]) -> dict[str, int]:
    """The highest attempt number that each task's chunks were given; those without chunks are left out."""
    highest = select(chunk.c.task_id, func.max(chunk.c.attempts).label("highest"))
    rows = await connection.execute(highest.where(chunk.c.task_id.in_(set(task_ids))).group_by(chunk.c.task_id))
    return {row.task_id: row.highest for row in rows}


async def _end(
    connection: AsyncConnection, rows: dict[str, Row[Any]], ending: dict[str, datetime], state: TaskState
) -> None:
    highest = await highest_attempts(connection, ending)
    keys: list[dict[str, Any]] = [{"of_task": task_id, "at": at} for task_id, at in sorted(ending.items())]
    await connection.execute(END_CHUNKS, keys)
    last = {task_id: max(rows[task_id].last_attempt, highest.get(task_id, 0)) for task_id in ending}
    await connection.execute(END_TASK, [{**key, "to_state": state.value, "last": last[key["of_task"]]} for key in keys])
