"""What an explanation is drawn from: facts of the store about one task, and what is heard around it."""

from dataclasses import dataclass, field
from datetime import datetime

from taskandgo.heard_runners import HeardRunner
from taskandgo.task import AttemptResult, Limits
from taskandgo.words import Outcome, Priority, Strategy, TaskState

#: No runner is expected to wait for longer between two heartbeats.
LONGEST_INTERVAL_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Ahead:
    """What of one priority waits ahead in the same pool; `is_least`: there may be more, since counting is bounded."""

    priority: Priority
    tasks: int
    chunks: int
    is_least: bool = False


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that runs, as far as the store knows; `duplicate` when a second one runs beside it."""

    chunk_index: int
    attempt: int
    runner: str
    started_at: datetime | None
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """The attempt that tells how a finished task went; its result has the beginning and the end of stderr only."""

    chunk_index: int
    attempt: int
    runner: str
    result: AttemptResult
    stderr_end: str = ""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task as the store has it; instants are aware UTC.

    `unconfirmed_since`: its TaskSubmitted was published then, and the broker has not confirmed it. `running` are its
    oldest running attempts; `retries` chunks wait for their next attempt, the first until `retry_at`, after
    `retry_after`.
    """

    task_id: str
    state: TaskState
    outcome: Outcome | None
    priority: Priority
    pool: str
    strategy: Strategy
    queued_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    chunk_count: int = 0
    chunks_succeeded: int = 0
    chunks_failed: int = 0
    chunks_ready: int = 0
    chunks_running: int = 0
    min_succeeded: int = 0
    reduces: bool = False
    max_attempts: int = 1
    limits: Limits = field(default_factory=Limits)
    not_before: datetime | None = None
    deadline: datetime | None = None
    unconfirmed_since: datetime | None = None
    ahead: tuple[Ahead, ...] = ()
    running: tuple[RunningAttempt, ...] = ()
    retries: int = 0
    retry_at: datetime | None = None
    retry_after: str = ""
    lost_count: int = 0
    failed_count: int = 0
    ended: EndedAttempt | None = None
    missing_chunks: tuple[int, ...] = ()

    @property
    def many(self) -> bool:
        """Whether it was cut into more than one chunk."""
        return self.chunk_count > 1

    @property
    def chunks_ended(self) -> int:
        """How many of its chunks have ended for good."""
        return self.chunks_succeeded + self.chunks_failed


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known around a task now: whether the broker is there, and the runners heard in `heard_seconds`."""

    now: datetime
    broker_connected: bool
    runners: tuple[HeardRunner, ...]
    heard_seconds: float

    @property
    def has_heard_all(self) -> bool:
        """Whether every living runner must have been heard: listening began long enough ago."""
        return self.heard_seconds > LONGEST_INTERVAL_SECONDS

    def pool(self, name: str) -> list[HeardRunner]:
        """The runners of a pool that are alive."""
        return [runner for runner in self.runners if runner.pool == name and not runner.is_silent(self.now)]

    @property
    def pools(self) -> list[str]:
        """The pools that have a living runner."""
        return sorted({runner.pool for runner in self.runners if not runner.is_silent(self.now)})

    def runner(self, name: str) -> HeardRunner | None:
        """A runner by its name, silent or not."""
        return next((runner for runner in self.runners if runner.runner == name), None)
