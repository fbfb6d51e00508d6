"""What the store is given and what it answers: frozen values."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from taskandgo.task import AttemptResult, TaskSpec, Value
from taskandgo.words import ChunkState, Outcome, Priority, Strategy, TaskState


class Acceptance(StrEnum):
    """What became of a submission: new, or its id was there with the same or with other content."""

    ACCEPTED = "accepted"
    SAME = "same"
    OTHER = "other"


class Submission(Value, frozen=True):
    """A validated task, and the hash that tells same content from other content."""

    task: TaskSpec
    content_hash: bytes


class NewChunk(Value, frozen=True):
    """A chunk that a strategy made."""

    chunk_index: int
    chunk_count: int


class OpenChunk(Value, frozen=True):
    """A chunk that has not finished, with the attempt it is at."""

    chunk_index: int
    chunk_count: int
    attempt: int


class Replaced(Value, frozen=True):
    """What follows a lost attempt: the attempt to emit now (None: nothing), or that the chunk is to be given up."""

    attempt: int | None = None
    quarantined: bool = False
    task: TaskSpec | None = None
    chunk_count: int = 1


class FinishedTask(Value, frozen=True):
    """A task in its final state, as it is announced."""

    task_id: str
    state: TaskState
    outcome: Outcome | None
    priority: Priority
    language: str
    strategy: Strategy
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime


class Recorded(Value, frozen=True):
    """What became of a result: `kept` if it is the one recorded; the task if it is, or was before, finished."""

    kept: bool
    finished: FinishedTask | None = None
    newly_finished: bool = False


class TaskRecord(Value, frozen=True):
    """A task as the store knows it; `result`, `attempt` and `runner` are those of the attempt that counted."""

    task_id: str
    state: TaskState
    priority: Priority
    language: str
    strategy: Strategy
    pool: str
    labels: dict[str, str]
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    chunk_count: int
    chunks_succeeded: int
    chunks_failed: int
    result: AttemptResult | None = None
    attempt: int = 0
    runner: str = ""
    chunks_running: int = 0
    chunks_ready: int = 0
    last_attempt: int = 0
    missing_chunks: Sequence[int] = ()


class ChunkRecord(Value, frozen=True):
    """A chunk as the store knows it, its output left out (empty); one that was never emitted is `waiting`."""

    chunk_index: int
    state: ChunkState
    reduce: bool = False
    attempt: int = 0
    runner: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    due_at: datetime | None = None
    result: AttemptResult | None = None


class ChunkFilter(Value, frozen=True):
    """Which chunks of a task to list, in the order of their indexes; `after` is the last of the page before."""

    task_id: str
    states: Sequence[ChunkState] = ()
    outcomes: Sequence[Outcome] = ()
    page_size: int = 100
    after: int = -1


class Retried(Value, frozen=True):
    """What became of a wish to run again what failed: the task's state before, its spec if it runs again now."""

    state: TaskState
    chunks: int = 0
    task: TaskSpec | None = None


class TaskFilter(Value, frozen=True):
    """Which tasks to list, the newest first; `after` is the last task of the page before."""

    states: Sequence[TaskState] = ()
    priority: Priority | None = None
    labels: dict[str, str] = {}
    queued_after: datetime | None = None
    queued_before: datetime | None = None
    page_size: int = 100
    after: tuple[datetime, str] | None = None


class Waiting(Value, frozen=True):
    """How many tasks of a priority are queued, and since when the oldest is."""

    priority: Priority
    count: int
    oldest_queued_at: datetime


class UnfinishedTask(Value, frozen=True):
    """A task that has not finished, its open chunks, and the indexes of those that are running."""

    task: TaskSpec
    chunks: list[OpenChunk]
    running: frozenset[int]
