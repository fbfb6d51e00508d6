"""The chunks of a task, as they are listed: those that were emitted have a row, the others are made up here.

Promises: the database looks for what is wanted, so that a page costs what is on it, and one look through the task's
rows at most.
"""

from typing import Any

from sqlalchemy import Column, ColumnElement, Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.absent_chunks import absent_chunks
from taskandgo.store.locks import OPEN
from taskandgo.store.records import ChunkFilter, ChunkRecord
from taskandgo.store.rows import usage_of
from taskandgo.store.tables import chunk, task
from taskandgo.task import AttemptResult
from taskandgo.words import ChunkState, Outcome

COLUMNS = [column for column in chunk.c if column.name not in {"stdout", "stderr"}]
NEVER = AttemptResult(outcome=Outcome.CANCELLED, reason="the task ended before it was emitted")


async def list_chunks(connection: AsyncConnection, wanted: ChunkFilter) -> list[ChunkRecord] | None:
    """The chunks that pass the filter, in the order of their indexes; None if the task is unknown.

    The transaction has to see one instant, or a chunk that is emitted meanwhile could be left out.
    """
    columns: list[Column[Any]] = [task.c.state, task.c.chunk_count, task.c.reduces]
    row = (await connection.execute(select(*columns).where(task.c.task_id == wanted.task_id))).one_or_none()
    if row is None:
        return None
    indexes = range(wanted.after + 1, row.chunk_count + bool(row.reduces and row.chunk_count))
    statement = select(*COLUMNS).where(*_conditions(wanted, indexes)).order_by(chunk.c.chunk_index)
    emitted = (await connection.execute(statement.limit(wanted.page_size))).all()
    found = [_emitted(one, row) for one in emitted]
    if _passes(_absent(0, row), wanted):
        # Those beyond a full page are on a later one.
        before = range(indexes.start, emitted[-1].chunk_index) if len(emitted) == wanted.page_size else indexes
        absent = await absent_chunks(connection, wanted.task_id, before, wanted.page_size)
        found += [_absent(index, row) for index in absent]
    return sorted(found, key=lambda one: one.chunk_index)[: wanted.page_size]


def _conditions(wanted: ChunkFilter, indexes: range) -> list[ColumnElement[bool]]:
    conditions = [
        chunk.c.task_id == wanted.task_id,
        chunk.c.chunk_index >= indexes.start,
        chunk.c.chunk_index < indexes.stop,
    ]
    if wanted.states:
        conditions.append(chunk.c.state.in_([state.value for state in wanted.states]))
    if wanted.outcomes:
        # One that runs again has the outcome of before.
        conditions.append(chunk.c.state == ChunkState.FINISHED.value)
        conditions.append(chunk.c.outcome.in_([outcome.value for outcome in wanted.outcomes]))
    return conditions


def _absent(index: int, row: Row[Any]) -> ChunkRecord:
    reduce = index >= row.chunk_count
    if row.state in OPEN:
        return ChunkRecord(chunk_index=index, state=ChunkState.WAITING, reduce=reduce)
    return ChunkRecord(chunk_index=index, state=ChunkState.FINISHED, reduce=reduce, result=NEVER)


def _emitted(found: Row[Any], row: Row[Any]) -> ChunkRecord:
    state = ChunkState(found.state)
    return ChunkRecord(
        chunk_index=found.chunk_index,
        state=state,
        reduce=found.chunk_index >= row.chunk_count,
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
