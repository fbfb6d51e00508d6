"""What the store says is under way, so that it can be held against what queues and runners hold.

Promises: a page costs what is on it, however many tasks there are; a chunk is claimed by one caller, to be emitted
again at the attempt it has.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.accept import SUBMITTED
from taskandgo.store.progress import load_chunks, load_tasks, open_chunk
from taskandgo.store.records import InFlight, OpenChunk, OpenTask
from taskandgo.store.save_progress import save
from taskandgo.store.tables import IS_OPEN, chunk, outbox, task, timer
from taskandgo.words import ChunkState, Priority, TimerKind

#: Where a page ended: its last task's `queued_at` and id.
Place = tuple[datetime, str]
STATES = (ChunkState.READY.value, ChunkState.RUNNING.value)
SETS_OFF = (TimerKind.START.value, TimerKind.RETRY.value)
AWAITED = or_(
    exists().where(outbox.c.task_id == task.c.task_id, outbox.c.kind == SUBMITTED),
    exists().where(timer.c.task_id == task.c.task_id, timer.c.kind.in_(SETS_OFF)),
)
CHUNK_COLUMNS = (
    *(chunk.c.task_id, chunk.c.chunk_index, chunk.c.attempt, chunk.c.duplicate, chunk.c.out_of_memory_count),
    *(chunk.c.state, chunk.c.ready_at, chunk.c.started_at, chunk.c.runner),
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A chunk as it was seen, to be emitted again."""

    task_id: str
    chunk: InFlight


async def open_tasks(
    connection: AsyncConnection, priority: Priority, after: Place | None, limit: int
) -> list[OpenTask]:
    """The next open tasks of a priority, the oldest first, with their chunks in flight."""
    columns = (task.c.task_id, task.c.pool, task.c.queued_at, task.c.chunk_count, AWAITED.label("awaited"))
    # Said in the index's own words, or no database would know that it may use it.
    statement = select(*columns).where(IS_OPEN, task.c.priority == int(priority))
    if after:
        at, task_id = after
        later = or_(task.c.queued_at > at, and_(task.c.queued_at == at, task.c.task_id > task_id))
        statement = statement.where(task.c.queued_at >= at, later)
    rows = (await connection.execute(statement.order_by(task.c.queued_at, task.c.task_id).limit(limit))).all()
    chunks = await _chunks(connection, rows)
    return [
        OpenTask(
            task_id=row.task_id,
            pool=row.pool,
            priority=priority,
            queued_at=row.queued_at,
            awaited=bool(row.awaited),
            chunks=chunks[row.task_id],
        )
        for row in rows
    ]


async def claim_chunks(
    connection: AsyncConnection, claims: Sequence[Claim], at: datetime
) -> dict[str, list[OpenChunk]]:
    """By task, the chunks that are still in the queue at the attempt that was seen; from now on they are new there."""
    tasks = await load_tasks(connection, {claim.task_id for claim in claims})
    keys = [(claim.task_id, claim.chunk.chunk.chunk_index) for claim in claims]
    chunks = await load_chunks(connection, [key for key in keys if key[0] in tasks and tasks[key[0]].open])
    claimed: dict[str, list[OpenChunk]] = defaultdict(list)
    for key, claim in zip(keys, claims, strict=True):
        found, seen = chunks.get(key), claim.chunk
        same = found and (found.attempt, found.state) == (seen.chunk.attempt, ChunkState.READY.value)
        if found and same and (found.ready_at or tasks[key[0]].queued_at) == seen.ready_at:
            found.ready_at, found.changed = at, True
            claimed[key[0]].append(open_chunk(found, tasks[key[0]].chunk_count))
    await save(connection, (), chunks.values())
    return claimed


async def _chunks(connection: AsyncConnection, tasks: Sequence[Row[Any]]) -> dict[str, list[InFlight]]:
    by_id = {row.task_id: row for row in tasks}
    statement = select(*CHUNK_COLUMNS).where(chunk.c.task_id.in_(list(by_id)), chunk.c.state.in_(STATES))
    found: dict[str, list[InFlight]] = defaultdict(list)
    for row in await connection.execute(statement.order_by(chunk.c.task_id, chunk.c.chunk_index)):
        found[row.task_id].append(_in_flight(row, by_id[row.task_id]))
    return found


def _in_flight(row: Any, of_task: Row[Any]) -> InFlight:
    return InFlight(
        chunk=open_chunk(row, of_task.chunk_count),
        duplicate=row.duplicate,
        state=ChunkState(row.state),
        # A release before this one did not write it down.
        ready_at=row.ready_at or of_task.queued_at,
        started_at=row.started_at,
        runner=row.runner,
    )
