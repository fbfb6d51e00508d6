"""Every runner that has been heard lately, by pool."""

from collections.abc import Sequence
from functools import partial

from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.parts_page import PartsPage
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


def runners_page(events: LiveEvents, rendering: Rendering) -> PartsPage:
    """The page of runners."""
    return PartsPage(events, rendering, PARTS, partial(_read, events), _news)


async def _read(events: LiveEvents) -> Runners:
    now = events.clock.now()
    rows = [runner_row(one, now) for one in events.runners.all()]
    names = sorted({row.pool for row in rows[:SHOWN]})
    pools = [_pool(name, [row for row in rows[:SHOWN] if row.pool == name]) for name in names]
    return Runners(pools=pools, hidden=max(0, len(rows) - SHOWN))


def _news(events: LiveEvents) -> object:
    """Heartbeats come every few seconds; a runner that fell silent is to be seen at once."""
    now = events.clock.now()
    return tuple((one.runner, one.busy, one.is_silent(now)) for one in events.runners.all())


def _pool(name: str, rows: Sequence[RunnerRow]) -> Pool:
    alive = [row for row in rows if row.state in ("live", "draining")]
    return Pool(pool=name, slots=sum(row.slots for row in alive), busy=sum(row.busy for row in alive), runners=rows)
