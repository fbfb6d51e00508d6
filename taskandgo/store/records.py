"""What the store is given and what it answers: frozen values."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from taskandgo.messages import ChunkFinished
from taskandgo.task import AttemptResult, TaskSpec, Value
from taskandgo.words import ChunkState, Outcome, Priority, Strategy, TaskState, TimerKind

#: What a timer that concerns a whole task has as its chunk.
WHOLE_TASK = -1


class Acceptance(StrEnum):
    """What became of a submission: new, or its id was there with the same or with other content; or it refers to a
    blob that is not there.
    """

    ACCEPTED = "accepted"
    SAME = "same"
    OTHER = "other"
    NO_BLOB = "no_blob"


class Submission(Value, frozen=True):
    """A validated task, and the hash that tells same content from other content.

    `input` is what has to be in the store, as the task's blob, before the task is.
    """

    task: TaskSpec
    content_hash: bytes
    input: bytes = b""


class Unconfirmed(Value, frozen=True):
    """A task that the broker has not confirmed a message of, and the last attempt that was ended with it."""

    task: TaskSpec
    last_attempt: int


class OpenChunk(Value, frozen=True):
    """A chunk at the attempt that is to be emitted, or runs; how often it ran out of memory before."""

    chunk_index: int
    chunk_count: int
    attempt: int
    out_of_memory_count: int = 0


class Ending(Value, frozen=True):
    """The end of an attempt as a dispatcher heard of it, at an instant by its own clock."""

    message: ChunkFinished
    at: datetime
    redelivered: bool = False


class Timer(Value, frozen=True):
    """Something that is to happen to a task, or to one of its chunks, at an instant."""

    task_id: str
    kind: TimerKind
    chunk_index: int
    due_at: datetime


class Due(Value, frozen=True):
    """A timer that is due, taken up until an instant; more than one claim says that somebody died over it."""

    task_id: str
    kind: TimerKind
    chunk_index: int
    claims: int
    claimed_until: datetime


class Expired(Value, frozen=True):
    """A task that did not start in time, and the last attempt that may have been emitted."""

    task_id: str
    last_attempt: int


class Stragglers(Value, frozen=True):
    """Chunks to be started a second time now, and when to look again (None: never)."""

    emit: Sequence[OpenChunk] = ()
    look_at: datetime | None = None


class ReduceInput(Value, frozen=True):
    """What the chunks that succeeded wrote, by index; left out when it is too much, or in blobs."""

    total_bytes: int
    outputs: Sequence[tuple[int, bytes]] | None = None


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
    """What became of an attempt's end: `kept` if it changed anything; the chunks to emit now; the attempts at its
    chunk that are not needed any more; whether the chunk was given up, or is to be repeated later; when the earliest
    timer that was set is due; and the task if it is, or was before, finished.
    """

    kept: bool
    emit: Sequence[OpenChunk] = ()
    cancel: Sequence[int] = ()
    given_up: bool = False
    retried: bool = False
    due_at: datetime | None = None
    finished: FinishedTask | None = None
    newly_finished: bool = False


class TaskRecord(Value, frozen=True):
    """A task as the store knows it; `result`, `attempt` and `runner` are those of the attempt that counted.

    The result has the beginning of each stream; `stdout_bytes` and `stderr_bytes` are how much of it is kept in all.
    """

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
    stdout_bytes: int = 0
    stderr_bytes: int = 0


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
    """How many tasks of a priority and pool are queued, since when the oldest is, and how many are running."""

    priority: Priority
    pool: str
    count: int
    oldest_queued_at: datetime | None
    running: int = 0


class InFlight(Value, frozen=True):
    """A chunk that the store says is in the queue or on a runner: since when, and its younger attempt, or 0."""

    chunk: OpenChunk
    duplicate: int
    state: ChunkState
    ready_at: datetime
    started_at: datetime | None
    runner: str

    @property
    def attempts(self) -> list[int]:
        """Those whose result would count, the younger one first."""
        return [attempt for attempt in (self.duplicate, self.chunk.attempt) if attempt]


class OpenTask(Value, frozen=True):
    """A task that is not final, with its chunks in flight; `awaited` when a timer or the outbox will go on with it."""

    task_id: str
    pool: str
    priority: Priority
    queued_at: datetime
    awaited: bool
    chunks: list[InFlight]


class UnfinishedTask(Value, frozen=True):
    """A task that has not finished, its chunks in the queue, and its attempts on runners."""

    task: TaskSpec
    ready: list[OpenChunk]
    running: list[OpenChunk]
