"""Watches what running boxes use, for the limits that the kernel does not keep by itself: one timer for all boxes.

CPU time of a whole box is limited here also where it has a cgroup; memory only where it has none. The timer runs
only while boxes run. A limit is seen as passed at most one interval late, and told of once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

INTERVAL_SECONDS = 0.05


class Limit(StrEnum):
    """The limit that was passed."""

    CPU_SECONDS = "cpu_seconds"
    MEMORY_BYTES = "memory_bytes"


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time so far, and memory in use now."""

    cpu_seconds: float
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class UsageLimits:
    """What a box may use; None is not watched."""

    cpu_seconds: float | None = None
    memory_bytes: int | None = None

    def passed(self, usage: Usage) -> Limit | None:
        """The limit that the usage is above."""
        if self.cpu_seconds is not None and usage.cpu_seconds > self.cpu_seconds:
            return Limit.CPU_SECONDS
        if self.memory_bytes is not None and usage.memory_bytes > self.memory_bytes:
            return Limit.MEMORY_BYTES
        return None


class UsageWatch:
    """Samples every watched box once an interval."""

    def __init__(self, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, sample: Callable[[], Usage], limits: UsageLimits, exceeded: Callable[[Limit], None]) -> "Watched":
        """Call `exceeded` once, when a sample is above a limit; until then or until `stop` is called."""
        watched = Watched(sample, limits, exceeded, self._watched)
        self._watched.add(watched)
        if self._timer is None:
            self._schedule()
        return watched

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for watched in tuple(self._watched):
            watched.look()
        if self._watched:
            self._schedule()


class Watched:
    """One box that is watched."""

    def __init__(
        self,
        sample: Callable[[], Usage],
        limits: UsageLimits,
        exceeded: Callable[[Limit], None],
        among: "set[Watched]",
    ) -> None:
        self._sample = sample
        self._limits = limits
        self._exceeded = exceeded
        self._among = among

    def stop(self) -> None:
        """Watch no more: before the cgroup is removed or the pid may be somebody else's."""
        self._among.discard(self)

    def look(self) -> None:
        """Take a sample, and tell if it is above a limit."""
        if self not in self._among:
            return  # stopped by what another box's callback did in this round
        try:
            passed = self._limits.passed(self._sample())
        except OSError:
            return  # the kernel would not say, having no descriptor or memory to spare; the next round asks again
        if passed:
            self.stop()
            self._exceeded(passed)
