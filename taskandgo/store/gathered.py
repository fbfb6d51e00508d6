"""What a finished task left behind, gathered from its chunks.

Promises: output comes in chunk order and never takes more memory than its bound, however many chunks there are;
what did not fit is told by the truncation flags.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, bindparam, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store import blobs
from taskandgo.store.records import ReduceInput, TaskRecord
from taskandgo.store.rows import result_of, task_record
from taskandgo.store.tables import chunk
from taskandgo.task import AttemptResult, BlobRef, Usage
from taskandgo.words import Outcome, TaskState

#: How much of each stream is gathered from many chunks, and how much is read of one chunk's when it is in a blob.
KEPT_BYTES = 8 * 1024 * 1024
BEGINNING_BYTES = 1024 * 1024
MOST_MISSING = 1000

#: A result, and how much of each stream is kept in all.
Gathered = tuple[AttemptResult, tuple[int, int]]

SUCCEEDED = chunk.c.outcome == Outcome.SUCCEEDED.value
#: Chunks that were cancelled before they started say nothing about how the task went.
RAN = or_(chunk.c.started_at.is_not(None), chunk.c.outcome != Outcome.CANCELLED.value)
ONLY_CHUNK = select(chunk).where(chunk.c.task_id == bindparam("of_task"), RAN)


async def with_result(connection: AsyncConnection, row: Row[Any]) -> TaskRecord:
    """The task's record with the result of the chunk that tells how it went, or of all of them together."""
    told = await telling_chunk(connection, row)
    absent = await missing_chunks(connection, row)
    if told is None:
        return task_record(row, missing_chunks=absent)
    alone = row.chunk_count <= 1 or told.chunk_index >= row.chunk_count
    gather = _alone(connection, row, told) if alone else _joined(connection, row, told)
    result, kept_bytes = await gather
    return task_record(row, result=result, told=told, missing_chunks=absent, kept_bytes=kept_bytes)


async def reduce_input(connection: AsyncConnection, task_id: str, most_bytes: int) -> ReduceInput:
    """The outputs of the chunks that succeeded, in their order, unless they are more than so many bytes."""
    succeeded = (chunk.c.task_id == task_id, SUCCEEDED)
    sums = select(func.sum(size_of("stdout")), func.count(chunk.c.stdout_blob)).where(*succeeded)
    total, blob_count = (await connection.execute(sums)).one()
    if blob_count or (total or 0) > most_bytes:
        return ReduceInput(total_bytes=int(total))
    rows = await connection.execute(
        select(chunk.c.chunk_index, chunk.c.stdout).where(*succeeded).order_by(chunk.c.chunk_index)
    )
    return ReduceInput(total_bytes=int(total or 0), outputs=[(row.chunk_index, row.stdout or b"") for row in rows])


async def telling_chunk(
    connection: AsyncConnection, row: Row[Any], columns: Sequence[ColumnElement[Any]] = ()
) -> Row[Any] | None:
    """The reduce; else the first chunk that ended like the task; else the first that ran. All columns, or these."""
    of_task = chunk.c.task_id == row.task_id
    if row.chunk_count <= 1 and not row.reduces and not columns:
        return (await connection.execute(ONLY_CHUNK, {"of_task": row.task_id})).one_or_none()
    like_task = SUCCEEDED if row.state == TaskState.SUCCEEDED else ~SUCCEEDED
    rank = case((chunk.c.chunk_index >= row.chunk_count, 0), (like_task, 1), else_=2)
    first = select(chunk.c.chunk_index).where(of_task, RAN).order_by(rank, chunk.c.chunk_index).limit(1)
    index = await connection.scalar(first)
    wanted = select(*columns) if columns else select(chunk)
    return (await connection.execute(wanted.where(of_task, chunk.c.chunk_index == index))).one_or_none()


async def missing_chunks(connection: AsyncConnection, row: Row[Any]) -> list[int]:
    """The first chunks of a cut task that did not succeed, in their order."""
    if row.chunk_count <= 1 or row.chunks_succeeded >= row.chunk_count:
        return []
    found = set(await connection.scalars(select(chunk.c.chunk_index).where(chunk.c.task_id == row.task_id, SUCCEEDED)))
    return [index for index in range(row.chunk_count) if index not in found][:MOST_MISSING]


def size_of(name: str) -> ColumnElement[int]:
    """How much of a stream of a chunk is kept, wherever it is."""
    return func.coalesce(chunk.c[f"{name}_blob_bytes"], func.length(chunk.c[name]), 0)


async def _alone(connection: AsyncConnection, row: Row[Any], told: Row[Any]) -> Gathered:
    result = result_of(told, row.outcome)
    kept = []
    for name in ("stdout", "stderr"):
        blob: BlobRef | None = getattr(result, f"{name}_blob")
        kept.append(blob.size_bytes if blob else len(getattr(result, name)))
        if blob:
            beginning = await blobs.read_start(connection, blob.sha256, BEGINNING_BYTES)
            truncated = getattr(result, f"{name}_truncated") or blob.size_bytes > len(beginning)
            changed = {name: beginning, f"{name}_truncated": truncated}
            result = msgspec.structs.replace(result, **changed)
    return result, (kept[0], kept[1])


async def _joined(connection: AsyncConnection, row: Row[Any], told: Row[Any]) -> Gathered:
    wanted = [chunk.c.task_id == row.task_id]
    if row.state == TaskState.SUCCEEDED:
        wanted.append(SUCCEEDED)
    stdout = await _stream(connection, "stdout", wanted)
    stderr = await _stream(connection, "stderr", wanted)
    result = AttemptResult(
        outcome=Outcome(row.outcome or told.outcome),
        exit_code=told.exit_code,
        stdout=stdout.beginning,
        stderr=stderr.beginning,
        stdout_truncated=stdout.truncated,
        stderr_truncated=stderr.truncated,
        reason=told.reason or "",
        usage=await _usage(connection, row.task_id, told.isolation or ""),
    )
    return result, (stdout.kept_bytes, stderr.kept_bytes)


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream of all chunks in their order: its beginning, how much is kept, and whether there was more."""

    beginning: bytes
    kept_bytes: int
    truncated: bool


async def _stream(connection: AsyncConnection, name: str, wanted: Sequence[ColumnElement[bool]]) -> _Stream:
    sizes = select(chunk.c.chunk_index, size_of(name).label("size"), chunk.c[f"{name}_truncated"].label("cut"))
    rows = (await connection.execute(sizes.where(*wanted).order_by(chunk.c.chunk_index))).all()
    ends = list(accumulate(row.size for row in rows))
    truncated = any(row.cut for row in rows) or (bool(ends) and ends[-1] > KEPT_BYTES)
    if not ends or not ends[-1]:
        return _Stream(b"", 0, truncated)
    # Up to the chunk whose output passes the bound.
    last = rows[min(bisect_left(ends, KEPT_BYTES), len(rows) - 1)].chunk_index
    columns = select(chunk.c[name].label("data"), chunk.c[f"{name}_blob"].label("blob"))
    found = await connection.execute(columns.where(*wanted, chunk.c.chunk_index <= last).order_by(chunk.c.chunk_index))
    joined = bytearray()
    for block in found.all():
        rest = KEPT_BYTES - len(joined)
        joined += await blobs.read_start(connection, block.blob, rest) if block.blob and rest else block.data or b""
    return _Stream(bytes(joined[:KEPT_BYTES]), ends[-1], truncated)


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
