"""What the runners' heartbeats say about each pool; kept in memory, since it is told anew every few seconds.

Promises: a runner that is silent for long, or drains, offers no slots.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from taskandgo.clock import Clock
from taskandgo.messages import RunnerHeartbeat

#: Three heartbeats at their default, and the slots of a pool that nobody has heard of yet.
SILENT_AFTER = timedelta(seconds=15)
UNHEARD_SLOTS = 4
#: Chunks of one task in flight for each slot: one that runs, and one that follows it without a pause. More
#: would stand in front of other tasks.
IN_FLIGHT_A_SLOT = 2


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner as it was when it was last heard."""

    pool: str
    slots: int
    free: int
    heard_at: datetime


@dataclass(slots=True)
class Pools:
    """The runners heard lately, by name."""

    clock: Clock
    runners: dict[str, Runner] = field(default_factory=dict)

    def hear(self, heartbeat: RunnerHeartbeat) -> None:
        """Remember what a runner says of itself."""
        slots = 0 if heartbeat.draining else heartbeat.slots
        free = max(0, slots - heartbeat.busy)
        self.runners[heartbeat.runner] = Runner(heartbeat.pool, slots, free, self.clock.now())
        self._forget_silent()

    def slots(self, pool: str) -> int:
        """How many chunks the pool can run at a time."""
        self._forget_silent()
        return sum(runner.slots for runner in self.runners.values() if runner.pool == pool) or UNHEARD_SLOTS

    def free_slots(self, pool: str) -> int:
        """How many of them are free, or all of them when none is: they will be."""
        free = sum(runner.free for runner in self.runners.values() if runner.pool == pool)
        return free or self.slots(pool)

    def window(self, pool: str) -> int:
        """How many chunks of one task may be in flight at a time."""
        return IN_FLIGHT_A_SLOT * self.slots(pool)

    def _forget_silent(self) -> None:
        since = self.clock.now() - SILENT_AFTER
        silent = [name for name, runner in self.runners.items() if runner.heard_at < since]
        for name in silent:
            del self.runners[name]
