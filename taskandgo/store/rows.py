"""Rows as records: pure."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from taskandgo.store.records import FinishedTask, TaskRecord
from taskandgo.task import AttemptResult, TaskSpec, Usage
from taskandgo.words import Outcome, Priority, Strategy, TaskState


def finished_task(row: Row[Any]) -> FinishedTask:
    """A task's row as it is announced; it must be final."""
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


def task_record(row: Row[Any], chunks: Sequence[Row[Any]] = ()) -> TaskRecord:
    """A task's row with the result that its finished chunks make, if any code of it ran."""
    told = _telling(chunks) if any(c.started_at or c.outcome != Outcome.CANCELLED.value for c in chunks) else None
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
        result=_result(row, told, chunks) if told else None,
        attempt=told.attempt if told else 0,
        runner=told.runner if told else "",
    )


def _telling(chunks: Sequence[Row[Any]]) -> Row[Any]:
    """The chunk that says how the task went: the first that did not succeed, else the first."""
    return next((c for c in chunks if c.outcome != Outcome.SUCCEEDED.value), chunks[0])


def _result(row: Row[Any], told: Row[Any], chunks: Sequence[Row[Any]]) -> AttemptResult:
    return AttemptResult(
        outcome=Outcome(row.outcome or told.outcome),
        exit_code=told.exit_code,
        stdout=b"".join(c.stdout or b"" for c in chunks),
        stderr=b"".join(c.stderr or b"" for c in chunks),
        stdout_truncated=any(c.stdout_truncated for c in chunks),
        stderr_truncated=any(c.stderr_truncated for c in chunks),
        reason=told.reason or "",
        usage=_usage(told, chunks),
    )


def _usage(told: Row[Any], chunks: Sequence[Row[Any]]) -> Usage:
    return Usage(
        wall_seconds=sum(c.wall_seconds or 0.0 for c in chunks),
        cpu_seconds=sum(c.cpu_seconds or 0.0 for c in chunks),
        peak_memory_bytes=max(c.peak_memory_bytes or 0 for c in chunks),
        output_bytes=sum(c.output_bytes or 0 for c in chunks),
        compile_seconds=sum(c.compile_seconds or 0.0 for c in chunks),
        isolation=told.isolation or "",
    )
