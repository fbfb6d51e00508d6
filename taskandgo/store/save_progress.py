"""Writes what the rules have moved on; the tasks are locked since they were loaded.

Promises: as many statements as there are kinds of changes, however many tasks and chunks changed.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.messages import ChunkFinished
from taskandgo.store.locks import OPEN
from taskandgo.store.progress import CHUNK_COLUMNS, ChunkProgress, TaskProgress
from taskandgo.store.tables import chunk, task
from taskandgo.store.timers import set_timers
from taskandgo.task import AttemptResult
from taskandgo.words import ChunkState, Outcome, TaskState

THIS_CHUNK = (
    chunk.c.task_id == bindparam("of_task"),
    chunk.c.chunk_index == bindparam("of_index"),
    chunk.c.state != ChunkState.FINISHED.value,
)
CHUNK_NAMES = [column.name for column in CHUNK_COLUMNS if column.name not in {"task_id", "chunk_index"}]
TASK_NAMES = (
    *("state", "outcome", "started_at", "finished_at", "chunk_count", "chunks_succeeded", "chunks_failed"),
    *("chunks_ready", "chunks_running", "next_chunk", "succeeded_seconds"),
)
RESULT = ("exit_code", "stdout", "stderr", "stdout_truncated", "stderr_truncated")
USAGE = ("wall_seconds", "cpu_seconds", "compile_seconds", "peak_memory_bytes", "output_bytes", "isolation")
OPEN_CHUNK = insert(chunk)
MOVE_CHUNK = update(chunk).where(*THIS_CHUNK)
# Spelt out, since IN cannot be part of a statement over many rows.
MOVE_TASK = update(task).where(task.c.task_id == bindparam("of_task"), or_(*(task.c.state == s for s in OPEN)))
COUNTS = ("lost_count", "failed_count", "out_of_memory_count", "unstarted_count")
FRESH = {"duplicate": 0, "runner": "", **dict.fromkeys(COUNTS, 0)}


async def save(
    connection: AsyncConnection,
    tasks: Iterable[TaskProgress],
    chunks: Iterable[ChunkProgress],
    at: datetime | None = None,
) -> None:
    """Write everything that changed, at an instant if chunks may have been opened."""
    moved = [one for one in tasks if one.changed]
    changed = [one for one in chunks if one.changed or one.ending]
    if ended := [_ended(one, one.ending) for one in changed if one.ending]:
        await connection.execute(MOVE_CHUNK, ended)
    if others := [_chunk(one) for one in changed if not one.ending]:
        await connection.execute(MOVE_CHUNK, others)
    if opened := [_opened(one, index, at) for one in moved for index in one.opened]:
        await connection.execute(OPEN_CHUNK, opened)
    if timers := [timer for one in moved for timer in one.timers]:
        await set_timers(connection, timers)
    if moved:
        await _tell_why(connection, [one for one in moved if one.state == TaskState.FAILED and not one.outcome])
        await connection.execute(MOVE_TASK, [_task(one) for one in moved])


def _task(progress: TaskProgress) -> dict[str, Any]:
    return {"of_task": progress.task_id, **{name: getattr(progress, name) for name in TASK_NAMES}}


def _chunk(progress: ChunkProgress) -> dict[str, Any]:
    values = {name: getattr(progress, name) for name in CHUNK_NAMES}
    return {"of_task": progress.task_id, "of_index": progress.chunk_index, **values}


def _ended(progress: ChunkProgress, message: ChunkFinished) -> dict[str, Any]:
    result = message.result
    return {
        **_chunk(progress),
        "outcome": result.outcome.value,
        "runner": message.runner,
        "started_at": message.started_at,
        "finished_at": message.finished_at,
        # PostgreSQL's text cannot hold NUL.
        "reason": result.reason.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        **{name: getattr(result, name) for name in RESULT},
        **{name: getattr(result.usage, name) for name in USAGE},
        **_blobs(result),
    }


def _blobs(result: AttemptResult) -> dict[str, Any]:
    kept = {"stdout_blob": result.stdout_blob, "stderr_blob": result.stderr_blob}
    hashes = {name: found and found.sha256 for name, found in kept.items()}
    return hashes | {f"{name}_bytes": found and found.size_bytes for name, found in kept.items()}


def _opened(progress: TaskProgress, index: int, at: datetime | None) -> dict[str, Any]:
    attempt = progress.last_attempt + 1
    known = {"task_id": progress.task_id, "chunk_index": index, "state": ChunkState.READY.value, "ready_at": at}
    return {**known, "attempt": attempt, "attempts": attempt, **FRESH}


async def _tell_why(connection: AsyncConnection, failed: Sequence[TaskProgress]) -> None:
    """Give each task the outcome of its first chunk that failed."""
    if not failed:
        return
    ids = [one.task_id for one in failed]
    bad = (chunk.c.outcome != Outcome.SUCCEEDED.value, chunk.c.task_id.in_(ids))
    first = select(chunk.c.task_id, func.min(chunk.c.chunk_index).label("chunk_index")).where(*bad)
    lowest = first.group_by(chunk.c.task_id).subquery()
    same = (chunk.c.task_id == lowest.c.task_id) & (chunk.c.chunk_index == lowest.c.chunk_index)
    rows = await connection.execute(select(chunk.c.task_id, chunk.c.outcome).join(lowest, same))
    outcomes = {row.task_id: row.outcome for row in rows}
    for one in failed:
        one.outcome = outcomes.get(one.task_id)
