"""Opening, starting and replacing chunks: each transition conditional, so that two dispatchers cannot both make it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.accept import decode_spec
from taskandgo.store.records import NewChunk, OpenChunk, Replaced
from taskandgo.store.statements import insert_new, rows_of, same
from taskandgo.store.tables import chunk, task
from taskandgo.words import OPEN_STATES, ChunkState, TaskState

Start = tuple[str, int, int, str, datetime]


async def open_chunks(
    connection: AsyncConnection, items: Sequence[tuple[str, Sequence[NewChunk]]]
) -> list[list[OpenChunk]]:
    """Make the chunks of tasks that are open and have none; for each task its chunks that have not finished."""
    counts = {task_id: new[0].chunk_count for task_id, new in items if new}
    given = rows_of(task, [{"task_id": key, "chunk_count": count} for key, count in sorted(counts.items())])
    statement = (
        update(task)
        .where(same(task, given, "task_id"), task.c.state.in_(OPEN_STATES))
        .values(chunk_count=given.c.chunk_count)
        .returning(task.c.task_id)
    )
    still_open = set(await connection.scalars(statement))
    rows = {(task_id, n.chunk_index): n for task_id, new in items if task_id in still_open for n in new}
    await insert_new(connection, chunk, [_new_row(*key) for key in sorted(rows)])
    found = await connection.execute(
        select(chunk.c.task_id, chunk.c.chunk_index, chunk.c.attempt)
        .where(chunk.c.task_id.in_(still_open), chunk.c.state != ChunkState.FINISHED)
        .order_by(chunk.c.chunk_index)
    )
    by_task: dict[str, list[OpenChunk]] = {}
    for row in found:
        one = OpenChunk(chunk_index=row.chunk_index, chunk_count=counts[row.task_id], attempt=row.attempt)
        by_task.setdefault(row.task_id, []).append(one)
    return [by_task.get(task_id, []) for task_id, _ in items]


async def start_chunks(connection: AsyncConnection, starts: Sequence[Start]) -> list[None]:
    """Chunks that are ready at this attempt are running, and their tasks too."""
    unique = {start[:3]: start for start in starts}
    names = ("task_id", "chunk_index", "attempt", "runner", "started_at")
    given = rows_of(chunk, [dict(zip(names, unique[key], strict=True)) for key in sorted(unique)])
    started = await connection.execute(
        update(chunk)
        .where(same(chunk, given, "task_id", "chunk_index", "attempt"), chunk.c.state == ChunkState.READY)
        .values(state=ChunkState.RUNNING, runner=given.c.runner, started_at=given.c.started_at)
        .returning(chunk.c.task_id, chunk.c.started_at)
    )
    first = {row.task_id: row.started_at for row in started}
    if first:
        rows = [{"task_id": key, "started_at": at} for key, at in sorted(first.items())]
        given = rows_of(task, rows)
        await connection.execute(
            update(task)
            .where(same(task, given, "task_id"), task.c.state == TaskState.QUEUED)
            .values(state=TaskState.RUNNING, started_at=func.coalesce(task.c.started_at, given.c.started_at))
        )
    return [None for _ in starts]


async def replace_lost(
    connection: AsyncConnection, task_id: str, chunk_index: int, attempt: int, max_lost: int
) -> Replaced:
    """What follows the loss of an attempt; the death counts only if the chunk was running."""
    row = await _locked(connection, task_id, chunk_index)
    if row is None or row.state == ChunkState.FINISHED or row.task_state not in OPEN_STATES:
        return Replaced()
    if row.attempt == attempt + 1 and row.state == ChunkState.READY:
        return Replaced(attempt=row.attempt, task=decode_spec(row.spec), chunk_count=row.chunk_count)
    if row.attempt != attempt:
        return Replaced()
    died = int(row.state == ChunkState.RUNNING)
    if died and row.lost_count + 1 >= max_lost:
        return Replaced(quarantined=True)
    await connection.execute(
        update(chunk)
        .where(chunk.c.task_id == task_id, chunk.c.chunk_index == chunk_index, chunk.c.attempt == attempt)
        .values(attempt=attempt + 1, state=ChunkState.READY, lost_count=chunk.c.lost_count + died, started_at=None)
    )
    return Replaced(attempt=attempt + 1, task=decode_spec(row.spec), chunk_count=row.chunk_count)


async def _locked(connection: AsyncConnection, task_id: str, chunk_index: int) -> Row[Any] | None:
    statement = (
        select(
            chunk.c.attempt,
            chunk.c.state,
            chunk.c.lost_count,
            task.c.state.label("task_state"),
            task.c.spec,
            task.c.chunk_count,
        )
        .join(task, task.c.task_id == chunk.c.task_id)
        .where(chunk.c.task_id == task_id, chunk.c.chunk_index == chunk_index)
        .with_for_update(of=chunk)
    )
    return (await connection.execute(statement)).first()


def _new_row(task_id: str, chunk_index: int) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "chunk_index": chunk_index,
        "attempt": 1,
        "lost_count": 0,
        "state": ChunkState.READY,
        "runner": "",
    }
