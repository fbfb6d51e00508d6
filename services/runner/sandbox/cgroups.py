"""What the kernel counts and limits of a box as a whole: the seam between the box and cgroup v1 or v2.

Promises: every process below the one that was added counts, whatever it forks; limits stand as soon as `limit`
returns; no box feels or sees what one before it used; no group outlives its runner for longer than until another
runner starts in the same place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BoxUsage:
    """What a box has used so far; 0 is also what this machine's cgroups do not count: see `Cgroups.controllers`.

    `oom_kills` is above 0 when the kernel found no more memory for the box, whoever killed it then.
    """

    cpu_seconds: float
    peak_memory_bytes: int
    oom_kills: int


@dataclass(frozen=True, slots=True)
class NoCgroups:
    """Why boxes get no cgroup on this machine."""

    reason: str


class BoxCgroup(Protocol):
    """The group of one box."""

    def add(self, pid: int) -> None:
        """Put the process in, before it runs or forks anything that is to be counted; ProcessLookupError if it died."""
        ...

    @property
    def entries(self) -> tuple[int, ...]:
        """Descriptors into which a process writes "0" to join."""
        ...

    def joined(self) -> None:
        """The entries are needed no more."""
        ...

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Limit memory, swap included, and processes and threads together; OSError where memory in use exceeds it."""
        ...

    def on_oom(self, kill: Callable[[], None]) -> None:
        """Call `kill` in the event loop once the kernel is out of memory here and does not end all of the box itself.

        It may be called more than once, and never after `remove`.
        """
        ...

    def cpu_seconds(self) -> float:
        """CPU time of all processes so far, ended ones included; 0 where it is not counted."""
        ...

    def usage(self) -> BoxUsage:
        """What the box has used so far; true to the end when asked after its last process died."""
        ...

    def kill(self) -> None:
        """Kill every process in the group; they may be dying still when it returns."""
        ...

    def remove(self) -> None:
        """Give the group back, after its processes died; never fails, and may be called again."""
        ...


class Cgroups(Protocol):
    """Where this runner makes the groups of its boxes."""

    @property
    def version(self) -> int:
        """1 or 2."""
        ...

    @property
    def controllers(self) -> frozenset[str]:
        """What is there of `memory` (always), `pids` (the limit of processes) and `cpu` (CPU time is counted)."""
        ...

    def make(self) -> BoxCgroup:
        """Make a group without limits: off the hot path, for a box that waits for its job."""
        ...

    def close(self) -> None:
        """Kill what is left in any group of this runner, and remove its groups."""
        ...
