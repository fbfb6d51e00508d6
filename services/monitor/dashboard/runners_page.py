"""Every runner that has been heard lately, by pool."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from services.monitor.dashboard.frames import Frame
from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.rendering import Rendering
from services.monitor.dashboard.runner_rows import RunnerRow, runner_row
from taskandgo.task import Value

PARTS = ("pools",)
SHOWN = 1000


class Pool(Value, frozen=True, omit_defaults=False):
    """The runners of a pool; slots are those of runners that are alive."""

    pool: str
    slots: int
    busy: int
    runners: Sequence[RunnerRow]


class Runners(Value, frozen=True, omit_defaults=False):
    """What the page of runners shows; `hidden` runners are beyond what a page can show."""

    pools: Sequence[Pool]
    hidden: int


@dataclass(frozen=True, slots=True)
class RunnersPage:
    """The page of runners."""

    events: LiveEvents
    rendering: Rendering

    def following(self) -> AbstractAsyncContextManager[object]:
        """As on the first page, so that coming back there finds the rates."""
        return self.events.looking()

    def stamp(self) -> object:
        """Heartbeats come every few seconds; a runner that fell silent is to be seen at once."""
        now = self.events.clock.now()
        return tuple((one.runner, one.busy, one.is_silent(now)) for one in self.events.runners.all())

    def logged_since(self, place: int) -> tuple[int, Frame | None]:
        """Nothing is appended here."""
        return place, None

    async def frames(self) -> Sequence[Frame]:
        """Its parts."""
        return self.rendering.parts(PARTS, await self.read())

    async def read(self) -> Runners:
        """What there is now."""
        now = self.events.clock.now()
        rows = [runner_row(one, now) for one in self.events.runners.all()]
        names = sorted({row.pool for row in rows[:SHOWN]})
        pools = [_pool(name, [row for row in rows[:SHOWN] if row.pool == name]) for name in names]
        return Runners(pools=pools, hidden=max(0, len(rows) - SHOWN))


def _pool(name: str, rows: Sequence[RunnerRow]) -> Pool:
    alive = [row for row in rows if row.state in ("live", "draining")]
    return Pool(pool=name, slots=sum(row.slots for row in alive), busy=sum(row.busy for row in alive), runners=rows)
