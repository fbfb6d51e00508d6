"""What the kernel counts and limits of a box as a whole: the seam between the groups of boxes and cgroup v1 or v2."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

#: What memory may be charged to an empty group that is used again.
REUSE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BoxUsage:
    """What a box has used so far; 0 is also what this machine's cgroups do not count: see `Cgroups.controllers`.

    `oom_kills` is above 0 when the kernel found no more memory for the box, whoever killed it then.
    """

    cpu_seconds: float
    peak_memory_bytes: int
    oom_kills: int


class Group(Protocol):
    """A group of the kernel's: a directory in each hierarchy, whose files stay open while boxes use it in turn."""

    @property
    def directories(self) -> frozenset[str]:
        """Where the group is, once for each hierarchy."""
        ...

    @property
    def entries(self) -> tuple[str, ...]:
        """The files into each of which a process writes "0" to be in the group."""
        ...

    def renew(self) -> bool:
        """Lift all limits, and count from here; False if somebody is in it still, or if it is of no more use."""
        ...

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Limit memory, swap included, and processes and threads together; OSError where memory in use exceeds it."""
        ...

    def on_oom(self, kill: Callable[[], None] | None) -> None:
        """Call `kill`, or nobody, once the kernel is out of memory here and does not end all of the box itself."""
        ...

    def cpu_seconds(self) -> float:
        """CPU time since the group was made."""
        ...

    def usage(self) -> BoxUsage:
        """The highest use of memory since it was renewed; CPU time and OOM kills since it was made."""
        ...

    def kill(self) -> None:
        """Kill every process in it; they may be dying still when it returns."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...
