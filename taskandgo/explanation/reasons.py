"""What an explanation is made of. A code never changes its meaning, so that programs may act on it; texts may."""

from dataclasses import dataclass
from enum import StrEnum

from taskandgo.words import TaskState


class ReasonCode(StrEnum):
    """Why a task is where it is, in one word."""

    # It waits.
    ADMISSION = "admission"
    BROKER_AWAY = "broker_away"
    DISPATCH = "dispatch"
    NOT_BEFORE = "not_before"
    NO_RUNNERS = "no_runners"
    RUNNERS_DRAINING = "runners_draining"
    PRIORITY = "priority"
    EARLIER = "earlier"
    SLOTS_BUSY = "slots_busy"
    STARTING = "starting"
    RETRY_BACKOFF = "retry_backoff"
    SPLIT_WINDOW = "split_window"
    DEADLINE = "deadline"
    # It runs.
    RUNNING = "running"
    RUNNER_SILENT = "runner_silent"
    # It ended.
    SUCCEEDED = "succeeded"
    EXIT_CODE = "exit_code"
    COMPILE_FAILED = "compile_failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"
    SANDBOX_ERROR = "sandbox_error"
    RUNNERS_LOST = "runners_lost"
    CHUNKS_MISSING = "chunks_missing"
    REDUCE_FAILED = "reduce_failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    # What happened on the way.
    LOST_BEFORE = "lost_before"
    FAILED_BEFORE = "failed_before"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, for programs and for people; `todo` is what a person may do about it, "" if nothing."""

    code: ReasonCode
    text: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One plain answer: the headline tells the first reason, which is what matters most.

    `state` is None for a task that ingest has not accepted yet; `position` is the place of its next chunk in the
    queue of its pool, from 1, at least that far back when `position_is_least`; 0 when it is not in the queue.
    """

    task_id: str
    state: TaskState | None
    headline: str
    reasons: tuple[Reason, ...]
    position: int = 0
    position_is_least: bool = False

    @property
    def todo(self) -> tuple[str, ...]:
        """What a person may do, each once, the most helpful first."""
        return tuple(dict.fromkeys(reason.todo for reason in self.reasons if reason.todo))
