"""The seam between the runner and whatever confines submitted code.

Promises of every box: the code sees nothing but what its job lists, on an empty working directory of its
own; when `run` returns or raises, no process of the job is left and nothing of it remains on the host.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from taskandgo.errors import TaskAndGoError
from taskandgo.words import Stream

WORK = "/work"
PATH = "/usr/local/bin:/usr/bin:/bin"


class EndedBy(StrEnum):
    """What ended a job: itself, its timeout, too much output, its cancellation, or a box that could not be set up."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    OUTPUT_LIMIT = "output_limit"
    CANCEL = "cancel"
    SETUP = "setup"


class SandboxUnavailableError(TaskAndGoError):
    """This machine cannot confine submitted code, so the runner does not start."""


@dataclass(frozen=True, slots=True)
class BoxJob:
    """What to run: `files` lie in the working directory; besides /usr it may read the host's folders `read_only`."""

    argv: tuple[str, ...]
    timeout_seconds: float
    keep_bytes: int
    output_limit_bytes: int
    files: dict[str, bytes] = field(default_factory=dict)
    read_only: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    stdin: bytes = b""


@dataclass(frozen=True, slots=True)
class Captured:
    """The beginning of an output stream, and how long it was in all."""

    data: bytes = b""
    total_bytes: int = 0

    @property
    def truncated(self) -> bool:
        """Whether more was written than was kept."""
        return self.total_bytes > len(self.data)


@dataclass(frozen=True, slots=True)
class BoxEnd:
    """How a job ended; `problem` says why the box could not be set up."""

    exit_code: int | None
    ended_by: EndedBy
    stdout: Captured = Captured()
    stderr: Captured = Captured()
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    problem: str = ""


#: Is told of the output that is kept, as it is written: which stream, where in it, what.
OutputWatcher = Callable[[Stream, int, bytes], None]


class Cancellable(Protocol):
    """Somebody else's handle on a job."""

    def on_cancel(self, kill: Callable[[], None]) -> None:
        """Call `kill` once the job is cancelled; at once if it already is."""
        ...


class Box(Protocol):
    """Runs jobs, each confined for itself."""

    @property
    def isolation(self) -> str:
        """The name of what confines."""
        ...

    async def run(self, job: BoxJob, watch: OutputWatcher | None = None, handle: Cancellable | None = None) -> BoxEnd:
        """Run the job to its end; cancelling the caller kills it."""
        ...
