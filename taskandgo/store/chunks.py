"""A chunk's way to its result: opened, started, replaced when its runner died; called by the dispatcher.

Promises: each step may be repeated; the attempt number fences off whoever comes late.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.locks import OPEN, lock_tasks, unfinished_chunks
from taskandgo.store.records import NewChunk, OpenChunk, Replaced
from taskandgo.store.tables import chunk, task
from taskandgo.task import TaskSpec
from taskandgo.words import ChunkState, TaskState

#: The number of a chunk's first attempt.
FIRST = 1

Opening = tuple[str, Sequence[NewChunk]]
Start = tuple[str, int, int, str, datetime]
Loss = tuple[str, int, int, int]

THIS_ATTEMPT = (
    chunk.c.task_id == bindparam("of_task"),
    chunk.c.chunk_index == bindparam("of_index"),
    chunk.c.attempt == bindparam("of_attempt"),
)
OPEN_CHUNK = insert(chunk)
COUNT_CHUNKS = update(task).where(task.c.task_id == bindparam("of_task")).values(chunk_count=bindparam("count"))
START = (
    update(chunk)
    .where(*THIS_ATTEMPT, chunk.c.state == ChunkState.READY.value)
    .values(state=ChunkState.RUNNING.value, runner=bindparam("by"), started_at=bindparam("at"))
)
START_TASK = (
    update(task)
    .where(task.c.task_id == bindparam("of_task"), task.c.state == TaskState.QUEUED.value)
    .values(state=TaskState.RUNNING.value, started_at=func.coalesce(task.c.started_at, bindparam("at")))
)


async def open_chunks(connection: AsyncConnection, openings: Sequence[Opening]) -> list[list[OpenChunk]]:
    """Insert the chunks of open tasks that have none; for each opening, its chunks that have not finished."""
    rows = await lock_tasks(connection, (task_id for task_id, _ in openings))
    counts = {task_id: row.chunk_count for task_id, row in rows.items() if row.state in OPEN}
    new = {task_id: chunks for task_id, chunks in openings if counts.get(task_id) == 0 and chunks}
    if new:
        await _insert(connection, new)
        counts |= {task_id: len(chunks) for task_id, chunks in new.items()}
    found = defaultdict(list)
    for task_id, chunks in new.items():
        found[task_id] = [
            OpenChunk(chunk_index=c.chunk_index, chunk_count=counts[task_id], attempt=FIRST) for c in chunks
        ]
    if known := counts.keys() - new.keys():
        for row in await unfinished_chunks(connection, known):
            found[row.task_id].append(
                OpenChunk(chunk_index=row.chunk_index, chunk_count=counts[row.task_id], attempt=row.attempt)
            )
    return [found[task_id] for task_id, _ in openings]


async def _insert(connection: AsyncConnection, new: dict[str, Sequence[NewChunk]]) -> None:
    fresh = {"attempt": FIRST, "lost_count": 0, "state": ChunkState.READY.value, "runner": ""}
    rows = [{"task_id": task_id, "chunk_index": c.chunk_index, **fresh} for task_id, cs in new.items() for c in cs]
    await connection.execute(OPEN_CHUNK, rows)
    await connection.execute(COUNT_CHUNKS, [{"of_task": task_id, "count": len(cs)} for task_id, cs in new.items()])


async def start_chunks(connection: AsyncConnection, starts: Sequence[Start]) -> list[bool]:
    """Chunks that are ready for the very attempt become running, and their tasks with them.

    For each start whether its task has been cancelled, so that nobody wants what runs.
    """
    rows = await lock_tasks(connection, (start[0] for start in starts))
    current = {
        (row.task_id, row.chunk_index, row.attempt)
        for row in await unfinished_chunks(connection, (task_id for task_id, row in rows.items() if row.state in OPEN))
    }
    wanted: list[dict[str, Any]] = [
        {"of_task": task_id, "of_index": index, "of_attempt": attempt, "by": runner, "at": at}
        for task_id, index, attempt, runner, at in starts
        if (task_id, index, attempt) in current
    ]
    if wanted:
        await connection.execute(START, wanted)
        earliest = sorted(wanted, key=lambda start: start["at"])
        await connection.execute(START_TASK, [{"of_task": start["of_task"], "at": start["at"]} for start in earliest])
    cancelled = {task_id for task_id, row in rows.items() if row.state == TaskState.CANCELLED.value}
    return [start[0] in cancelled for start in starts]


async def replace_lost(connection: AsyncConnection, losses: Sequence[Loss]) -> list[Replaced]:
    """For each lost attempt, what follows it."""
    rows = await lock_tasks(connection, (loss[0] for loss in losses))
    return [await _replace(connection, rows.get(loss[0]), loss) for loss in losses]


async def _replace(connection: AsyncConnection, row: Row[Any] | None, loss: Loss) -> Replaced:
    task_id, chunk_index, attempt, max_lost = loss
    if row is None or row.state not in OPEN:
        return Replaced()
    found = [c for c in await unfinished_chunks(connection, [task_id]) if c.chunk_index == chunk_index]
    if not found or found[0].attempt not in {attempt, attempt + 1}:
        return Replaced()
    running = found[0].state == ChunkState.RUNNING.value
    if found[0].attempt == attempt:
        if running and found[0].lost_count + 1 >= max_lost:
            return Replaced(quarantined=True, chunk_count=row.chunk_count)
        await _next_attempt(connection, task_id, chunk_index, attempt, died=int(running))
    elif running:
        return Replaced()
    return Replaced(attempt=attempt + 1, task=await _spec(connection, task_id), chunk_count=row.chunk_count)


async def _next_attempt(
    connection: AsyncConnection, task_id: str, chunk_index: int, attempt: int, *, died: int
) -> None:
    fresh = {"attempt": attempt + 1, "state": ChunkState.READY.value, "runner": "", "started_at": None}
    statement = update(chunk).where(*THIS_ATTEMPT, chunk.c.state != ChunkState.FINISHED.value)
    await connection.execute(
        statement.values(lost_count=chunk.c.lost_count + died, **fresh),
        {"of_task": task_id, "of_index": chunk_index, "of_attempt": attempt},
    )


async def _spec(connection: AsyncConnection, task_id: str) -> TaskSpec:
    spec = await connection.scalar(select(task.c.spec).where(task.c.task_id == task_id))
    return msgspec.msgpack.decode(spec or b"", type=TaskSpec)
