"""The runners as they said of themselves when they were last heard; fed by on_runner_heartbeat, kept in memory.

Promises: bounded, however many names runners go by; one that has fallen silent is shown as silent for a while, then
forgotten. When it was heard counts, not when it was sent: the runner's clock may differ.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from taskandgo.clock import Clock
from taskandgo.messages import RunnerHeartbeat

#: How many heartbeats late a runner is when it counts as silent, and by how much any may be late.
LATE_INTERVALS = 1.5
LATE = timedelta(seconds=0.5)
#: For how long a silent runner is remembered, so that it can be told since when it is silent.
REMEMBERED = timedelta(minutes=10)
MOST_RUNNERS = 10_000


@dataclass(frozen=True, slots=True)
class HeardRunner:
    """A runner as it was when it was last heard."""

    runner: str
    pool: str
    slots: int
    busy: int
    languages: tuple[str, ...]
    isolation: str
    draining: bool
    heard_at: datetime
    interval_seconds: float

    def is_silent(self, now: datetime) -> bool:
        """Whether its next heartbeat is overdue."""
        return now - self.heard_at > LATE_INTERVALS * timedelta(seconds=self.interval_seconds) + LATE

    def silent_seconds(self, now: datetime) -> float:
        """How long ago it was heard, in seconds."""
        return max(0.0, (now - self.heard_at).total_seconds())

    @property
    def free(self) -> int:
        """How many more chunks it can run now."""
        return 0 if self.draining else max(0, self.slots - self.busy)


class HeardRunners:
    """Remembers every runner by its name; `since` is when it began to listen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runners: dict[str, HeardRunner] = {}
        self.since = clock.now()

    def hear(self, message: RunnerHeartbeat) -> None:
        """Remember what a runner says of itself."""
        # The ones heard last come last, so that whoever has been silent for longest goes first.
        self._runners.pop(message.runner, None)
        self._runners[message.runner] = HeardRunner(
            runner=message.runner,
            pool=message.pool,
            slots=message.slots,
            busy=message.busy,
            languages=tuple(message.languages),
            isolation=message.isolation,
            draining=message.draining,
            heard_at=self._clock.now(),
            interval_seconds=message.interval_seconds,
        )
        if len(self._runners) > MOST_RUNNERS:
            del self._runners[next(iter(self._runners))]

    def all(self) -> tuple[HeardRunner, ...]:
        """Every runner that has been heard within a while, by name."""
        since = self._clock.now() - REMEMBERED
        while self._runners and (oldest := next(iter(self._runners.values()))).heard_at < since:
            del self._runners[oldest.runner]
        return tuple(sorted(self._runners.values(), key=lambda one: one.runner))
