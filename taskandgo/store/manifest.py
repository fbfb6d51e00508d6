"""The chunks of a task, as they are listed: those that were emitted have a row, the others are made up here."""

from typing import Any

from sqlalchemy import Column, Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.locks import OPEN
from taskandgo.store.records import ChunkFilter, ChunkRecord
from taskandgo.store.rows import usage_of
from taskandgo.store.tables import chunk, task
from taskandgo.task import AttemptResult
from taskandgo.words import ChunkState, Outcome

#: How many chunks are looked through at a time for those that pass a filter.
PAGE = 1000
COLUMNS = [column for column in chunk.c if column.name not in {"stdout", "stderr"}]
NEVER = AttemptResult(outcome=Outcome.CANCELLED, reason="the task ended before it was emitted")


async def list_chunks(connection: AsyncConnection, wanted: ChunkFilter) -> list[ChunkRecord] | None:
    """The chunks that pass the filter, in the order of their indexes; None if the task is unknown."""
    columns: list[Column[Any]] = [task.c.state, task.c.chunk_count, task.c.reduces]
    row = (await connection.execute(select(*columns).where(task.c.task_id == wanted.task_id))).one_or_none()
    if row is None:
        return None
    found: list[ChunkRecord] = []
    start, last = wanted.after + 1, row.chunk_count + 1
    while start < last and len(found) < wanted.page_size:
        stop = min(start + PAGE, last)
        found += [one for one in await _between(connection, wanted.task_id, row, start, stop) if _passes(one, wanted)]
        start = stop
    return found[: wanted.page_size]


async def _between(
    connection: AsyncConnection, task_id: str, row: Row[Any], start: int, stop: int
) -> list[ChunkRecord]:
    between = (chunk.c.task_id == task_id, chunk.c.chunk_index >= start, chunk.c.chunk_index < stop)
    rows = {one.chunk_index: one for one in await connection.execute(select(*COLUMNS).where(*between))}
    known = min(stop, row.chunk_count + bool(row.reduces and row.chunk_count))
    return [_record(index, rows.get(index), row) for index in range(start, known)]


def _record(index: int, found: Row[Any] | None, row: Row[Any]) -> ChunkRecord:
    reduce = index >= row.chunk_count
    if found is None:
        if row.state in OPEN:
            return ChunkRecord(chunk_index=index, state=ChunkState.WAITING, reduce=reduce)
        return ChunkRecord(chunk_index=index, state=ChunkState.FINISHED, reduce=reduce, result=NEVER)
    state = ChunkState(found.state)
    return ChunkRecord(
        chunk_index=index,
        state=state,
        reduce=reduce,
        attempt=found.attempt,
        runner=found.runner,
        started_at=found.started_at,
        finished_at=found.finished_at,
        due_at=found.due_at,
        result=_result(found) if state is ChunkState.FINISHED else None,
    )


def _result(found: Row[Any]) -> AttemptResult:
    return AttemptResult(
        outcome=Outcome(found.outcome),
        exit_code=found.exit_code,
        stdout_truncated=bool(found.stdout_truncated),
        stderr_truncated=bool(found.stderr_truncated),
        reason=found.reason or "",
        usage=usage_of(found),
    )


def _passes(one: ChunkRecord, wanted: ChunkFilter) -> bool:
    if wanted.states and one.state not in wanted.states:
        return False
    return not wanted.outcomes or (one.result is not None and one.result.outcome in wanted.outcomes)
