"""Tasks as the pages list them: pure."""

from collections.abc import Mapping
from datetime import datetime

from taskandgo.store.records import TaskRecord
from taskandgo.task import Value
from taskandgo.words import Strategy, TaskState


class TaskRow(Value, frozen=True, omit_defaults=False):
    """A task in a list."""

    task_id: str
    state: TaskState
    priority: str
    language: str
    strategy: Strategy
    pool: str
    labels: Mapping[str, str]
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    chunk_count: int
    chunks_succeeded: int
    chunks_failed: int
    chunks_running: int

    @property
    def run_seconds(self) -> float | None:
        """How long it ran; None while it does, or if it never did."""
        if not self.started_at or not self.finished_at:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


def task_row(record: TaskRecord) -> TaskRow:
    """A task in a list."""
    return TaskRow(
        task_id=record.task_id,
        state=record.state,
        priority=record.priority.word,
        language=record.language,
        strategy=record.strategy,
        pool=record.pool,
        labels=record.labels,
        queued_at=record.queued_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        chunk_count=record.chunk_count,
        chunks_succeeded=record.chunks_succeeded,
        chunks_failed=record.chunks_failed,
        chunks_running=record.chunks_running,
    )
