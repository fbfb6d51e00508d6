"""Recording results once, and finishing tasks by them, in one transaction; called by dispatchers."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import case, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.messages import ChunkFinished
from taskandgo.store.reads import finished_tasks
from taskandgo.store.records import Recorded
from taskandgo.store.statements import rows_of, same
from taskandgo.store.tables import chunk, task
from taskandgo.words import OPEN_STATES, ChunkState, Outcome, TaskState

Settle = Callable[[int, int, int], TaskState | None]
Key = tuple[str, int]

RESULT_COLUMNS = (
    "runner", "started_at", "finished_at", "outcome", "exit_code", "stdout", "stderr", "stdout_truncated",
    "stderr_truncated", "reason", "wall_seconds", "cpu_seconds", "compile_seconds", "peak_memory_bytes",
    "output_bytes", "isolation",
)  # fmt: skip


async def record_results(connection: AsyncConnection, items: Sequence[tuple[ChunkFinished, Settle]]) -> list[Recorded]:
    """Record each result whose attempt the chunk is at; tasks that are settled by that are finished."""
    first: dict[Key, ChunkFinished] = {}
    for message, _ in items:
        first.setdefault((message.task_id, message.chunk_index), message)
    kept = await _record(connection, first)
    newly = await _settle(connection, [first[key] for key in sorted(kept)], items[0][1])
    finished = await finished_tasks(connection, {message.task_id for message, _ in items})
    return [
        Recorded(
            kept=(key := (message.task_id, message.chunk_index)) in kept and first[key] is message,
            finished=finished.get(message.task_id),
            newly_finished=message.task_id in newly and first[key] is message,
        )
        for message, _ in items
    ]


async def _record(connection: AsyncConnection, messages: dict[Key, ChunkFinished]) -> set[Key]:
    given = rows_of(chunk, [_result_row(messages[key]) for key in sorted(messages)])
    statement = (
        update(chunk)
        .where(same(chunk, given, "task_id", "chunk_index", "attempt"), chunk.c.state != ChunkState.FINISHED)
        .values(state=ChunkState.FINISHED, **{name: given.c[name] for name in RESULT_COLUMNS})
        .returning(chunk.c.task_id, chunk.c.chunk_index)
    )
    return {(row.task_id, row.chunk_index) for row in await connection.execute(statement)}


async def _settle(connection: AsyncConnection, kept: Sequence[ChunkFinished], settle: Settle) -> set[str]:
    if not kept:
        return set()
    last = {message.task_id: message for message in kept}
    rows = []
    for row in await _tally(connection, kept):
        state = settle(row.chunk_count, row.chunks_succeeded, row.chunks_failed)
        if state is not None:
            message = last[row.task_id]
            outcome = Outcome.SUCCEEDED if state is TaskState.SUCCEEDED else message.result.outcome
            finished_at = message.finished_at
            rows.append({"task_id": row.task_id, "state": state, "outcome": outcome, "finished_at": finished_at})
    if not rows:
        return set()
    given = rows_of(task, rows)
    statement = (
        update(task)
        .where(same(task, given, "task_id"), task.c.state.in_(OPEN_STATES))
        .values(state=given.c.state, outcome=given.c.outcome, finished_at=given.c.finished_at)
        .returning(task.c.task_id)
    )
    return set(await connection.scalars(statement))


async def _tally(connection: AsyncConnection, kept: Sequence[ChunkFinished]) -> Sequence[Any]:
    counts: dict[str, dict[str, Any]] = {}
    for message in kept:
        empty = {
            "task_id": message.task_id,
            "chunks_succeeded": 0,
            "chunks_failed": 0,
            "started_at": message.started_at,
        }
        row = counts.setdefault(message.task_id, empty)
        succeeded = message.result.outcome is Outcome.SUCCEEDED
        row["chunks_succeeded" if succeeded else "chunks_failed"] += 1
    given = rows_of(task, list(counts.values()))
    statement = (
        update(task)
        .where(same(task, given, "task_id"))
        .values(
            chunks_succeeded=task.c.chunks_succeeded + given.c.chunks_succeeded,
            chunks_failed=task.c.chunks_failed + given.c.chunks_failed,
            started_at=func.coalesce(task.c.started_at, given.c.started_at),
            state=case((task.c.state == TaskState.QUEUED, TaskState.RUNNING), else_=task.c.state),
        )
        .returning(task.c.task_id, task.c.chunk_count, task.c.chunks_succeeded, task.c.chunks_failed)
    )
    return (await connection.execute(statement)).all()


def _result_row(message: ChunkFinished) -> dict[str, Any]:
    result, usage = message.result, message.result.usage
    return {
        "task_id": message.task_id,
        "chunk_index": message.chunk_index,
        "attempt": message.attempt,
        "runner": message.runner,
        "started_at": message.started_at,
        "finished_at": message.finished_at,
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "stdout_truncated": result.stdout_truncated,
        "stderr_truncated": result.stderr_truncated,
        "reason": result.reason,
        "wall_seconds": usage.wall_seconds,
        "cpu_seconds": usage.cpu_seconds,
        "compile_seconds": usage.compile_seconds,
        "peak_memory_bytes": usage.peak_memory_bytes,
        "output_bytes": usage.output_bytes,
        "isolation": usage.isolation,
    }
