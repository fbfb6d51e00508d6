"""Which attempts the runners say they have; kept in memory, since every heartbeat tells all of them anew.

Promises: nothing is believed of a runner that has been silent for long; whoever asks hears of the very next
heartbeat that names the attempt.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from taskandgo.clock import Clock
from taskandgo.messages import RunnerHeartbeat

Key = tuple[str, int, int]
#: A runner that leaves out so many heartbeats is silent.
HEARTBEATS = 3
#: How long after the broker's return runners may still be on their way back to it.
RETURN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a runner said last; `attempts` is None if it does not say which it has."""

    pool: str
    attempts: frozenset[Key] | None
    believed_until: datetime


@dataclass(frozen=True, slots=True)
class Believed:
    """What all runners together say that are believed now.

    `attempts` are what they have, `pools` where any told what it has, and `mute` those that do not tell.
    """

    attempts: frozenset[Key]
    pools: frozenset[str]
    mute: frozenset[str]

    def has(self, key: Key, runner: str = "") -> bool:
        """Whether a runner has the attempt, or `runner` is one that does not say what it has."""
        return key in self.attempts or runner in self.mute


@dataclass(slots=True)
class Claims:
    """The claims of the runners heard lately, by their names."""

    clock: Clock
    runners: dict[str, Claim] = field(default_factory=dict)
    _asked: defaultdict[Key, set[asyncio.Event]] = field(default_factory=lambda: defaultdict(set))
    _returning_until: datetime | None = None

    def hear(self, heartbeat: RunnerHeartbeat) -> None:
        """Remember what a runner says it has."""
        if heartbeat.runner not in self.runners:
            # Names come and go, and none may stay for ever.
            self._forget_silent()
        until = self.clock.now() + HEARTBEATS * timedelta(seconds=heartbeat.interval_seconds)
        attempts = None if heartbeat.running is None else frozenset(heartbeat.running)
        self.runners[heartbeat.runner] = Claim(heartbeat.pool, attempts, until)
        for key in self._asked.keys() & (attempts or ()):
            for asked in self._asked[key]:
                asked.set()

    def broker_is_back(self) -> None:
        """Runners lost their connections too, and take their time to come back."""
        self._returning_until = self.clock.now() + RETURN

    def believed(self) -> Believed:
        """What can be believed now: a look costs what all runners have, so whoever asks much asks of one look."""
        self._forget_silent()
        telling = [claim for claim in self.runners.values() if claim.attempts is not None]
        return Believed(
            attempts=frozenset().union(*(claim.attempts or () for claim in telling)),
            pools=frozenset(claim.pool for claim in telling),
            mute=frozenset(name for name, claim in self.runners.items() if claim.attempts is None),
        )

    async def confirms(self, key: Key, seconds: float) -> bool:
        """Whether a runner says within so many seconds from now that it has the attempt."""
        asked = asyncio.Event()
        self._asked[key].add(asked)
        try:
            async with asyncio.timeout(max(seconds, self._returning_seconds())):
                await asked.wait()
        except TimeoutError:
            return False
        finally:
            self._asked[key].discard(asked)
            if not self._asked[key]:
                del self._asked[key]
        return True

    def _returning_seconds(self) -> float:
        return (self._returning_until - self.clock.now()).total_seconds() if self._returning_until else 0.0

    def _forget_silent(self) -> None:
        now = self.clock.now()
        self.runners = {name: claim for name, claim in self.runners.items() if claim.believed_until > now}
