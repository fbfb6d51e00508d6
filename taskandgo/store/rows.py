"""Rows as records: pure."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from taskandgo.store.records import FinishedTask, TaskRecord
from taskandgo.task import AttemptResult, BlobRef, TaskSpec, Usage
from taskandgo.words import Outcome, Priority, Strategy, TaskState

USAGE = ("wall_seconds", "cpu_seconds", "compile_seconds", "peak_memory_bytes", "output_bytes", "isolation")


def finished_task(row: Any) -> FinishedTask:
    """A task's row, or its progress, as it is announced; it must be final."""
    return FinishedTask(
        task_id=row.task_id,
        state=TaskState(row.state),
        outcome=Outcome(row.outcome) if row.outcome else None,
        priority=Priority(row.priority),
        language=row.language,
        strategy=Strategy(row.strategy),
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def accepted_task(task: TaskSpec) -> TaskRecord:
    """A task as it is once it has been accepted."""
    return TaskRecord(
        task_id=task.task_id,
        state=TaskState.QUEUED,
        priority=task.priority,
        language=task.language,
        strategy=task.strategy,
        pool=task.pool,
        labels=task.labels,
        queued_at=task.queued_at,
        started_at=None,
        finished_at=None,
        chunk_count=0,
        chunks_succeeded=0,
        chunks_failed=0,
    )


def task_record(
    row: Row[Any],
    result: AttemptResult | None = None,
    told: Row[Any] | None = None,
    missing_chunks: Sequence[int] = (),
    kept_bytes: tuple[int, int] = (0, 0),
) -> TaskRecord:
    """A task's row, with its result and the row of the chunk that tells it, if any code of it ran."""
    return TaskRecord(
        task_id=row.task_id,
        state=TaskState(row.state),
        priority=Priority(row.priority),
        language=row.language,
        strategy=Strategy(row.strategy),
        pool=row.pool,
        labels=row.labels,
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        chunk_count=row.chunk_count,
        chunks_succeeded=row.chunks_succeeded,
        chunks_failed=row.chunks_failed,
        chunks_running=row.chunks_running,
        chunks_ready=row.chunks_ready,
        last_attempt=row.last_attempt,
        result=result,
        attempt=told.attempt if told else 0,
        runner=told.runner if told else "",
        missing_chunks=missing_chunks,
        stdout_bytes=kept_bytes[0],
        stderr_bytes=kept_bytes[1],
    )


def result_of(chunk: Row[Any], outcome: str | None = None) -> AttemptResult:
    """A finished chunk's result, under the task's outcome where that says otherwise."""
    return AttemptResult(
        outcome=Outcome(outcome or chunk.outcome),
        exit_code=chunk.exit_code,
        stdout=chunk.stdout or b"",
        stderr=chunk.stderr or b"",
        stdout_truncated=bool(chunk.stdout_truncated),
        stderr_truncated=bool(chunk.stderr_truncated),
        reason=chunk.reason or "",
        usage=usage_of(chunk),
        stdout_blob=_blob(chunk.stdout_blob, chunk.stdout_blob_bytes),
        stderr_blob=_blob(chunk.stderr_blob, chunk.stderr_blob_bytes),
    )


def _blob(sha256: str | None, size_bytes: int | None) -> BlobRef | None:
    return BlobRef(sha256=sha256, size_bytes=size_bytes or 0) if sha256 else None


def usage_of(chunk: Row[Any]) -> Usage:
    """What a chunk's last attempt used."""
    return Usage(**{name: value for name in USAGE if (value := getattr(chunk, name)) is not None})
