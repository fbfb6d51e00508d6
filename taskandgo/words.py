"""The product's vocabulary as types: one word means one thing, in code, messages, store, metrics and API.

Promises: the values are what is stored and sent, so a member's value never changes; new members may come.
"""

from enum import IntEnum, StrEnum

#: Stands for the watcher of a task that no client stayed with, as a word of a routing key.
NOBODY = "-"


class Priority(IntEnum):
    """How urgent a task is; the value is the AMQP priority, higher is more urgent everywhere."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """The name people use: low, normal, high or critical."""
        return self.name.lower()


class Strategy(StrEnum):
    """How a task becomes chunks."""

    BATCH = "batch"
    SPLIT = "split"


class TaskState(StrEnum):
    """Where a task is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Whether a task in this state stays in it for good."""
        return self not in OPEN_STATES


OPEN_STATES = frozenset({TaskState.QUEUED, TaskState.RUNNING})


class ChunkState(StrEnum):
    """Where a chunk is: waiting for its turn or next attempt, in the queue, started on a runner, finished for good."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    FINISHED = "finished"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    COMPILE_FAILED = "compile_failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"
    CANCELLED = "cancelled"
    LOST = "lost"
    SANDBOX_ERROR = "sandbox_error"


class TimerKind(StrEnum):
    """What a timer in the store does when it is due."""

    START = "start"
    EXPIRE = "expire"
    RETRY = "retry"
    DUPLICATE = "duplicate"


class Stream(StrEnum):
    """Which of its two output streams a chunk wrote to."""

    STDOUT = "stdout"
    STDERR = "stderr"


#: The languages a task may be written in, each with the file endings that mean it. The runner has one
#: file for each in services/runner/languages/.
LANGUAGES: dict[str, tuple[str, ...]] = {
    "python": (".py",),
    "go": (".go",),
    "bash": (".sh", ".bash"),
}
