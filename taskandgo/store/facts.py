"""What an explanation needs to know of one task; called by whoever explains, ingest or the monitor.

Promises: no more work than looking through the task's own chunks and, for each priority, through
`LOOKED_AT` tasks ahead of it, however many wait.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.explanation.facts import Ahead, EndedAttempt, RunningAttempt, TaskFacts
from taskandgo.store.accept import SUBMITTED
from taskandgo.store.gathered import MOST_MISSING, missing_chunks, telling_chunk
from taskandgo.store.locks import OPEN, TASK_COLUMNS
from taskandgo.store.rows import USAGE, usage_of
from taskandgo.store.tables import IS_OPEN, chunk, outbox, task
from taskandgo.task import AttemptResult, TaskSpec
from taskandgo.words import ChunkState, Outcome, Priority, Strategy, TaskState

#: How many open tasks of one priority are looked through for those ahead.
LOOKED_AT = 10_000
MOST_RUNNING = 5
#: How much of each end of stderr is read.
STDERR_BYTES = 4096

#: What a task's facts have as its row has it.
SAME = (
    *("task_id", "pool", "queued_at", "started_at", "finished_at", "chunk_count", "chunks_succeeded", "chunks_failed"),
    *("chunks_ready", "chunks_running", "min_succeeded", "reduces", "max_attempts"),
)
WAITING, RUNNING = ChunkState.WAITING.value, ChunkState.RUNNING.value
STDERR_END = func.substr(
    chunk.c.stderr,
    case((func.length(chunk.c.stderr) > STDERR_BYTES, func.length(chunk.c.stderr) - STDERR_BYTES + 1), else_=1),
)
ENDED_COLUMNS = (
    *(chunk.c[name] for name in ("chunk_index", "attempt", "runner", "outcome", "exit_code", "reason", *USAGE)),
    func.substr(chunk.c.stderr, 1, STDERR_BYTES).label("stderr_start"),
    STDERR_END.label("stderr_end"),
)


async def task_facts(connection: AsyncConnection, task_id: str) -> TaskFacts | None:
    """The facts, in a transaction that sees one instant: else they could contradict each other; None if unknown."""
    found = await connection.execute(select(*TASK_COLUMNS, task.c.spec).where(task.c.task_id == task_id))
    row: Any = found.one_or_none()
    if row is None:
        return None
    facts = _of_task(row)
    more = await (_while_open(connection, row) if row.state in OPEN else _once_ended(connection, row))
    return dataclasses.replace(facts, **await _counted(connection, task_id), **more)


def _of_task(row: Row[Any]) -> TaskFacts:
    spec = msgspec.msgpack.decode(row.spec, type=TaskSpec)
    return TaskFacts(
        state=TaskState(row.state),
        outcome=Outcome(row.outcome) if row.outcome else None,
        priority=Priority(row.priority),
        strategy=Strategy(row.strategy),
        limits=spec.limits,
        not_before=spec.not_before,
        deadline=spec.deadline,
        **{name: getattr(row, name) for name in SAME},
    )


async def _counted(connection: AsyncConnection, task_id: str) -> dict[str, Any]:
    waits = chunk.c.state == WAITING
    columns = (
        func.coalesce(func.sum(chunk.c.lost_count), 0).label("lost_count"),
        func.coalesce(func.sum(chunk.c.failed_count), 0).label("failed_count"),
        func.count(case((waits, 1))).label("retries"),
        func.min(case((waits, chunk.c.due_at))).label("retry_at"),
        func.min(case((waits, chunk.c.reason))).label("retry_after"),
    )
    row = (await connection.execute(select(*columns).where(chunk.c.task_id == task_id))).one()
    return {**row._mapping, "retry_after": row.retry_after or "", "lost_count": int(row.lost_count)}  # noqa: SLF001 - its public name


async def _while_open(connection: AsyncConnection, row: Row[Any]) -> dict[str, Any]:
    unconfirmed = select(outbox.c.written_at).where(outbox.c.task_id == row.task_id, outbox.c.kind == SUBMITTED)
    return {
        "unconfirmed_since": await connection.scalar(unconfirmed),
        "running": await _running(connection, row.task_id) if row.chunks_running else (),
        "ahead": await _ahead(connection, row) if row.chunks_ready else (),
    }


async def _running(connection: AsyncConnection, task_id: str) -> tuple[RunningAttempt, ...]:
    columns = (chunk.c.chunk_index, chunk.c.attempt, chunk.c.runner, chunk.c.started_at, chunk.c.duplicate)
    statement = select(*columns).where(chunk.c.task_id == task_id, chunk.c.state == RUNNING)
    rows = await connection.execute(statement.order_by(chunk.c.started_at).limit(MOST_RUNNING))
    return tuple(RunningAttempt(*row[:4], duplicate=bool(row.duplicate)) for row in rows)


async def _ahead(connection: AsyncConnection, row: Row[Any]) -> tuple[Ahead, ...]:
    urgent = [priority for priority in sorted(Priority, reverse=True) if priority > row.priority]
    found = [await _ahead_of(connection, row.pool, priority, []) for priority in urgent]
    same_instant = and_(task.c.queued_at == row.queued_at, task.c.task_id < row.task_id)
    # The first condition is for the index.
    earlier = [task.c.queued_at <= row.queued_at, or_(task.c.queued_at < row.queued_at, same_instant)]
    return (*found, await _ahead_of(connection, row.pool, Priority(row.priority), earlier))


async def _ahead_of(
    connection: AsyncConnection, pool: str, priority: Priority, conditions: Sequence[ColumnElement[bool]]
) -> Ahead:
    """What waits in the pool; tasks of other pools count toward what is looked at, so that the work is bounded."""
    columns = (task.c.pool, task.c.chunks_ready)
    of_priority = select(*columns).where(IS_OPEN, task.c.priority == int(priority), *conditions).limit(LOOKED_AT)
    looked = of_priority.subquery()
    counts = and_(looked.c.pool == pool, looked.c.chunks_ready > 0)
    totals = (func.count(), func.count(case((counts, 1))), func.sum(case((counts, looked.c.chunks_ready), else_=0)))
    seen, tasks, chunks = (await connection.execute(select(*totals).select_from(looked))).one()
    return Ahead(priority, tasks, int(chunks or 0), is_least=seen >= LOOKED_AT)


async def _once_ended(connection: AsyncConnection, row: Row[Any]) -> dict[str, Any]:
    told = await telling_chunk(connection, row, ENDED_COLUMNS)
    missing = await missing_chunks(connection, row)
    return {"ended": _ended(row, told) if told else None, "missing_chunks": tuple(missing[:MOST_MISSING])}


def _ended(row: Row[Any], told: Row[Any]) -> EndedAttempt:
    alone = row.chunk_count <= 1 or told.chunk_index >= row.chunk_count
    result = AttemptResult(
        outcome=Outcome((alone and row.outcome) or told.outcome),
        exit_code=told.exit_code,
        stderr=told.stderr_start or b"",
        reason=told.reason or "",
        usage=usage_of(told),
    )
    end = (told.stderr_end or b"").decode(errors="replace")
    return EndedAttempt(told.chunk_index, told.attempt, told.runner, result, end)
