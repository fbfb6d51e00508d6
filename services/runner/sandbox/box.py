"""The seam between the runner and what confines submitted code: a job goes in, its end comes out.

Promises of a box: the code sees nothing but what its job and its level give it, in an empty working directory of its
own; when `run` returns or raises, no process of the job is left and nothing of it remains on the host.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from services.runner.sandbox.spill_file import SpillFile
from taskandgo.errors import TaskAndGoError
from taskandgo.words import Stream

WORK = "/work"


class EndedBy(StrEnum):
    """What ended a job: itself, one of its limits, its cancellation, or a box that could not be set up."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    CPU_TIME = "cpu_time"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    CANCEL = "cancel"
    SETUP = "setup"


class SandboxUnavailableError(TaskAndGoError):
    """This machine cannot confine submitted code, so the runner does not start."""


@dataclass(frozen=True, slots=True)
class BoxLimits:
    """What a job may use, all its processes together; open files are each process's own."""

    timeout_seconds: float
    cpu_seconds: float
    memory_bytes: int
    processes: int
    open_files: int
    disk_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class BoxJob:
    """What to run: a command; or the program behind the descriptor `program`; or, with neither, main.py by Python.

    `files` lie in the working directory. It reads `stdin`, or the sealed file behind the descriptor `stdin_fd`, which
    stays its owner's. Of each output stream the first `keep_bytes` are kept, in a file when they are more than
    `spill_bytes`. One process may reserve as much memory as all may use, and `extra_address_bytes` on top.
    """

    limits: BoxLimits
    keep_bytes: int
    argv: tuple[str, ...] = ()
    program: int | None = None
    extra_address_bytes: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    stdin_fd: int | None = None
    spill_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Captured:
    """What was kept of an output stream, in memory or in a file, and how long the stream was in all.

    `problem` says why less was kept than should have been, if that is so.
    """

    data: bytes = b""
    total_bytes: int = 0
    spilled: SpillFile | None = None
    problem: str = ""

    @property
    def kept_bytes(self) -> int:
        """How much was kept."""
        return self.spilled.size if self.spilled else len(self.data)

    @property
    def truncated(self) -> bool:
        """Whether more was written than was kept."""
        return self.total_bytes > self.kept_bytes

    def beginning(self, most_bytes: int) -> bytes:
        """The first bytes of what was kept."""
        return self.spilled.part(0, most_bytes) if self.spilled else self.data[:most_bytes]

    def ending(self, most_bytes: int) -> bytes:
        """The last bytes of what was kept."""
        if self.spilled:
            return self.spilled.part(max(0, self.spilled.size - most_bytes), most_bytes)
        return self.data[-most_bytes:]


@dataclass(frozen=True, slots=True)
class BoxEnd:
    """How a job ended; `exit_code` is 128 + N after signal N; `problem` says why the box could not be set up."""

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
        """The level that every job is confined at."""
        ...

    @property
    def shown(self) -> list[str]:
        """Where jobs see folders of the host, besides the system's own."""
        ...

    async def run(self, job: BoxJob, watch: OutputWatcher | None = None, handle: Cancellable | None = None) -> BoxEnd:
        """Run the job to its end; cancelling the caller kills it."""
        ...

    async def show(self, folders: dict[str, str]) -> None:
        """Let every job from now on read these folders of the host, each in the place that is given with it.

        SandboxUnavailableError if that cannot be; then all is as before.
        """
        ...
