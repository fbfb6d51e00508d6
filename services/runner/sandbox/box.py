"""The seam between the runner and whatever confines submitted code.

Promises of every box: the code sees nothing but what its job lists, on an empty working directory of its
own; when `run` returns or raises, no process of the job is left and nothing of it remains on the host.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from taskandgo.errors import TaskAndGoError
from taskandgo.words import Stream

WORK = "/work"
PATH = "/usr/local/bin:/usr/bin:/bin"

EndedBy = Literal["exit", "timeout", "output_limit", "cancelled", "setup"]


class SandboxUnavailableError(TaskAndGoError):
    """This machine cannot confine submitted code, so the runner does not start."""


@dataclass(frozen=True, slots=True)
class BoxFile:
    """A file in the working directory."""

    data: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class BoxJob:
    """What to run: `read_only_binds` are pairs (path on the host, path in the box); `files` are names in /work."""

    argv: tuple[str, ...]
    timeout_seconds: float
    keep_bytes: int
    output_limit_bytes: int
    files: dict[str, BoxFile] = field(default_factory=dict)
    read_only_binds: tuple[tuple[str, str], ...] = ()
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
    """How a job ended; `error` is set when the box could not be set up (`ended_by` is `setup`)."""

    exit_code: int | None
    ended_by: EndedBy
    stdout: Captured = Captured()
    stderr: Captured = Captured()
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    error: str = ""


class OutputWatcher(Protocol):
    """Is told of the output that is kept, as it is written."""

    def wrote(self, stream: Stream, offset: int, data: bytes) -> None:
        """`data` was written at `offset` of the stream."""
        ...


class Unwatched:
    """Watches nothing."""

    def wrote(self, stream: Stream, offset: int, data: bytes) -> None:
        """Nobody wants to know."""


class Cancel:
    """A handle that somebody else pulls to end a job."""

    def __init__(self) -> None:
        self.requested = False
        self._calls: list[Callable[[], None]] = []

    def request(self) -> None:
        """End the job; once is enough."""
        if not self.requested:
            self.requested = True
            for call in self._calls:
                call()

    def when_requested(self, call: Callable[[], None]) -> None:
        """Call this when the handle is pulled, at once if it already was."""
        self._calls.append(call)
        if self.requested:
            call()


class Box(Protocol):
    """Runs jobs, each confined for itself."""

    @property
    def isolation(self) -> str:
        """The name of what confines."""
        ...

    async def run(self, job: BoxJob, watch: OutputWatcher, cancel: Cancel) -> BoxEnd:
        """Run the job to its end; cancelling the caller kills it."""
        ...
