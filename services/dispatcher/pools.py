"""What the runners' heartbeats say about each pool; kept in memory, since it is told anew every few seconds.

Promises: a runner that is silent for long, or drains, offers no slots.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from taskandgo.clock import Clock
from taskandgo.messages import RunnerHeartbeat

#: A runner that leaves out so many heartbeats is silent; a pool that nobody has heard of yet has so many slots.
HEARTBEATS = 3
UNHEARD_SLOTS = 4
#: For how long the chunks of one task that wait in the queue are to keep its slots busy: longer than it takes from
#: the end of a chunk to the emission of the next. More would only stand in front of other tasks.
BRIDGED_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner as it was when it was last heard."""

    pool: str
    slots: int
    free: int
    believed_until: datetime


@dataclass(slots=True)
class Pools:
    """The runners heard lately, by name."""

    clock: Clock
    runners: dict[str, Runner] = field(default_factory=dict)

    def hear(self, heartbeat: RunnerHeartbeat) -> None:
        """Remember what a runner says of itself."""
        slots = 0 if heartbeat.draining else heartbeat.slots
        free = max(0, slots - heartbeat.busy)
        until = self.clock.now() + HEARTBEATS * timedelta(seconds=heartbeat.interval_seconds)
        self.runners[heartbeat.runner] = Runner(heartbeat.pool, slots, free, until)
        self._forget_silent()

    def slots(self, pool: str) -> int:
        """How many chunks the pool can run at a time."""
        self._forget_silent()
        return sum(runner.slots for runner in self.runners.values() if runner.pool == pool) or UNHEARD_SLOTS

    def free_slots(self, pool: str) -> int:
        """How many of them are free, or all of them when none is: they will be."""
        free = sum(runner.free for runner in self.runners.values() if runner.pool == pool)
        return free or self.slots(pool)

    def window(self, pool: str, chunk_seconds: float) -> int:
        """How many chunks of one task, each so long, may be in flight at a time: one that runs on each slot, and as
        many as follow them without a pause, up to one for each slot.
        """
        slots = self.slots(pool)
        following = slots * BRIDGED_SECONDS / max(chunk_seconds, BRIDGED_SECONDS)
        return slots + ceil(following)

    def _forget_silent(self) -> None:
        now = self.clock.now()
        silent = [name for name, runner in self.runners.items() if runner.believed_until < now]
        for name in silent:
            del self.runners[name]
