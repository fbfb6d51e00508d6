"""What a finished task left behind, gathered from its chunks.

Promises: output comes in chunk order and never takes more memory than its bound, however many chunks there are;
what did not fit is told by the truncation flags.
"""

from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.records import ReduceInput, TaskRecord
from taskandgo.store.rows import result_of, task_record
from taskandgo.store.tables import chunk
from taskandgo.task import AttemptResult, Usage
from taskandgo.words import Outcome, TaskState

#: How much of each stream is gathered from many chunks.
KEPT_BYTES = 8 * 1024 * 1024
MOST_MISSING = 1000

SUCCEEDED = chunk.c.outcome == Outcome.SUCCEEDED.value
#: Chunks that were cancelled before they started say nothing about how the task went.
RAN = or_(chunk.c.started_at.is_not(None), chunk.c.outcome != Outcome.CANCELLED.value)
ONLY_CHUNK = select(chunk).where(chunk.c.task_id == bindparam("of_task"), RAN)


async def with_result(connection: AsyncConnection, row: Row[Any]) -> TaskRecord:
    """The task's record with the result of the chunk that tells how it went, or of all of them together."""
    told = await _telling(connection, row)
    absent = await _missing(connection, row)
    if told is None:
        return task_record(row, missing_chunks=absent)
    alone = row.chunk_count <= 1 or told.chunk_index >= row.chunk_count
    result = result_of(told, row.outcome) if alone else await _joined(connection, row, told)
    return task_record(row, result=result, told=told, missing_chunks=absent)


async def reduce_input(connection: AsyncConnection, task_id: str, most_bytes: int) -> ReduceInput:
    """The outputs of the chunks that succeeded, in their order, unless they are more than so many bytes."""
    succeeded = (chunk.c.task_id == task_id, SUCCEEDED)
    total = await connection.scalar(select(func.sum(func.length(chunk.c.stdout))).where(*succeeded)) or 0
    if total > most_bytes:
        return ReduceInput(total_bytes=total)
    rows = await connection.execute(
        select(chunk.c.chunk_index, chunk.c.stdout).where(*succeeded).order_by(chunk.c.chunk_index)
    )
    return ReduceInput(total_bytes=total, outputs=[(row.chunk_index, row.stdout or b"") for row in rows])


async def _telling(connection: AsyncConnection, row: Row[Any]) -> Row[Any] | None:
    """The reduce; else the first chunk that ended like the task; else the first that ran."""
    of_task = chunk.c.task_id == row.task_id
    if row.chunk_count <= 1 and not row.reduces:
        return (await connection.execute(ONLY_CHUNK, {"of_task": row.task_id})).one_or_none()
    like_task = SUCCEEDED if row.state == TaskState.SUCCEEDED else ~SUCCEEDED
    rank = case((chunk.c.chunk_index >= row.chunk_count, 0), (like_task, 1), else_=2)
    first = select(chunk.c.chunk_index).where(of_task, RAN).order_by(rank, chunk.c.chunk_index).limit(1)
    index = await connection.scalar(first)
    return (await connection.execute(select(chunk).where(of_task, chunk.c.chunk_index == index))).one_or_none()


async def _missing(connection: AsyncConnection, row: Row[Any]) -> list[int]:
    if row.chunk_count <= 1 or row.chunks_succeeded >= row.chunk_count:
        return []
    found = set(await connection.scalars(select(chunk.c.chunk_index).where(chunk.c.task_id == row.task_id, SUCCEEDED)))
    return [index for index in range(row.chunk_count) if index not in found][:MOST_MISSING]


async def _joined(connection: AsyncConnection, row: Row[Any], told: Row[Any]) -> AttemptResult:
    wanted = [chunk.c.task_id == row.task_id]
    if row.state == TaskState.SUCCEEDED:
        wanted.append(SUCCEEDED)
    stdout, stdout_truncated = await _stream(connection, "stdout", wanted)
    stderr, stderr_truncated = await _stream(connection, "stderr", wanted)
    return AttemptResult(
        outcome=Outcome(row.outcome or told.outcome),
        exit_code=told.exit_code,
        stdout=stdout,
        stderr=stderr,
        stdout_truncated=stdout_truncated,
        stderr_truncated=stderr_truncated,
        reason=told.reason or "",
        usage=await _usage(connection, row.task_id, told.isolation or ""),
    )


async def _stream(connection: AsyncConnection, name: str, wanted: Sequence[ColumnElement[bool]]) -> tuple[bytes, bool]:
    """A stream of all chunks in their order, as far as it is kept, and whether something is missing of it."""
    written, flag = chunk.c[name], chunk.c[f"{name}_truncated"]
    sizes = select(chunk.c.chunk_index, func.length(written).label("size"), flag.label("cut")).where(
        *wanted, written.is_not(None)
    )
    rows = (await connection.execute(sizes.order_by(chunk.c.chunk_index))).all()
    ends = list(accumulate(row.size for row in rows))
    whole = sum(1 for _ in takewhile(lambda end: end <= KEPT_BYTES, ends))
    truncated = whole < len(rows) or any(row.cut for row in rows)
    if not ends or not ends[-1]:
        return b"", truncated
    last = rows[min(whole, len(rows) - 1)].chunk_index
    blocks = select(written).where(*wanted, chunk.c.chunk_index <= last).order_by(chunk.c.chunk_index)
    joined = b"".join(block or b"" for block in await connection.scalars(blocks))
    return joined[:KEPT_BYTES], truncated


async def _usage(connection: AsyncConnection, task_id: str, isolation: str) -> Usage:
    sums = [
        func.coalesce(func.sum(chunk.c[name]), 0).label(name)
        for name in ("wall_seconds", "cpu_seconds", "compile_seconds", "output_bytes")
    ]
    peak = func.coalesce(func.max(chunk.c.peak_memory_bytes), 0).label("peak_memory_bytes")
    row = (await connection.execute(select(*sums, peak).where(chunk.c.task_id == task_id))).one()
    return Usage(
        wall_seconds=float(row.wall_seconds),
        cpu_seconds=float(row.cpu_seconds),
        compile_seconds=float(row.compile_seconds),
        output_bytes=int(row.output_bytes),
        peak_memory_bytes=int(row.peak_memory_bytes),
        isolation=isolation,
    )
