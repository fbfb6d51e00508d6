"""Stragglers: chunks that run far longer than their siblings get a second attempt beside the first.

Promises: a chunk has at most two attempts at a time; whose result comes first is decided when it comes.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.progress import CHUNK_COLUMNS, ChunkProgress, TaskProgress, load_tasks
from taskandgo.store.records import OpenChunk, Stragglers
from taskandgo.store.save_progress import save
from taskandgo.store.tables import chunk
from taskandgo.words import ChunkState

#: After how many seconds a chunk of the task straggles.
Patience = Callable[[TaskProgress], float]


async def duplicate_stragglers(
    connection: AsyncConnection, task_id: str, now: datetime, patience: Patience, *, again: bool
) -> Stragglers:
    """Give every straggler of the task a second attempt; `again` also names those that have one already."""
    task = (await load_tasks(connection, [task_id])).get(task_id)
    if task is None or not task.open:
        return Stragglers()
    running = await _running(connection, task)
    seconds = patience(task)
    late = [one for one in running if not one.duplicate and one.started_at and _overdue(one.started_at, seconds, now)]
    for one in late:
        one.attempts += 1
        one.duplicate, one.ready_at, one.changed = one.attempts, now, True
    await save(connection, (), late)
    emit = late if not again else [one for one in running if one.duplicate]
    started = [one.started_at for one in running if not one.duplicate and one.started_at]
    look_at = min(started, default=now) + timedelta(seconds=seconds)
    return Stragglers(emit=[_second(task, one) for one in emit], look_at=look_at)


async def _running(connection: AsyncConnection, task: TaskProgress) -> list[ChunkProgress]:
    running = (chunk.c.task_id == task.task_id, chunk.c.state == ChunkState.RUNNING.value)
    # The reduce has no siblings.
    rows = await connection.execute(select(*CHUNK_COLUMNS).where(*running, chunk.c.chunk_index < task.chunk_count))
    return [ChunkProgress(*row) for row in rows]


def _overdue(started_at: datetime, seconds: float, now: datetime) -> bool:
    return (now - started_at).total_seconds() >= seconds


def _second(task: TaskProgress, straggler: ChunkProgress) -> OpenChunk:
    return OpenChunk(
        chunk_index=straggler.chunk_index,
        chunk_count=task.chunk_count,
        attempt=straggler.duplicate,
        out_of_memory_count=straggler.out_of_memory_count,
    )
