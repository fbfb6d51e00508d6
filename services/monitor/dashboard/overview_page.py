"""The first page: health and throughput at a glance, queues, runners, what runs and what came last."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from services.monitor.dashboard.frames import Frame, event
from services.monitor.dashboard.history import Lines
from services.monitor.dashboard.live_events import LiveEvents, RunningTask
from services.monitor.dashboard.rendering import Rendering
from services.monitor.dashboard.runner_rows import RunnerRow, runner_row
from services.monitor.dashboard.task_rows import TaskRow, task_row
from services.monitor.dashboard.troubles import find_troubles
from taskandgo.broker.topology import DEAD_LETTER
from taskandgo.errors import BrokerAwayError, StoreAwayError
from taskandgo.store.records import Waiting
from taskandgo.store.search import TaskSearch
from taskandgo.task import Value
from taskandgo.words import Priority

PARTS = ("health", "tiles", "queues", "runners", "running", "recent")
SHOWN_RUNNERS, SHOWN_RUNNING, SHOWN_RECENT = 12, 10, 12
RATE_SECONDS = 60


class QueueLevel(Value, frozen=True, omit_defaults=False):
    """The tasks of one priority that are queued."""

    priority: str
    waiting: int
    oldest_at: datetime | None


class Overview(Value, frozen=True, omit_defaults=False):
    """What the first page shows; `queues` and `recent` are None while the store is away."""

    broker: bool
    dead_letters: int | None
    troubles: Sequence[str]
    queues: Sequence[QueueLevel] | None
    waiting: int | None
    oldest_at: datetime | None
    slots: int
    busy: int
    runners: Sequence[RunnerRow]
    runner_count: int
    silent_count: int
    running: Sequence[RunningTask]
    running_count: int
    succeeded_per_second: float
    failed_per_second: float
    wait_seconds: tuple[float, float] | None
    recent: Sequence[TaskRow] | None
    history: Lines


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """The first page."""

    events: LiveEvents
    rendering: Rendering

    def following(self) -> AbstractAsyncContextManager[object]:
        """The rates, and what runs, are counted while somebody looks."""
        return self.events.looking()

    def stamp(self) -> object:
        """Anything that happens may be worth a look; so is a runner that fell silent."""
        now = self.events.clock.now()
        silent = sum(runner.is_silent(now) for runner in self.events.runners.all())
        return self.events.count, silent, self.events.broker.connected

    def logged_since(self, place: int) -> tuple[int, Frame | None]:
        """Nothing is appended here."""
        return place, None

    async def frames(self) -> Sequence[Frame]:
        """Its parts, and the charts' lines."""
        overview = await self.read()
        return [*self.rendering.parts(PARTS, overview), event("history", overview.history)]

    async def read(self) -> Overview:
        """What there is now."""
        queues, recent = await self._stored()
        runners = [runner_row(one, self.events.clock.now()) for one in self.events.runners.all()]
        alive = [one for one in runners if one.state in ("live", "draining")]
        slots, busy = sum(one.slots for one in alive), sum(one.busy for one in alive)
        waiting = None if queues is None else sum(level.waiting for level in queues)
        now = self.events.clock.now().timestamp()
        history = self.events.history
        history.waiting(now, waiting)
        succeeded, failed = history.per_second(now, RATE_SECONDS)
        dead_letters = await self._dead_letters()
        newest = sorted(self.events.running.values(), key=lambda one: one.started_at, reverse=True)
        return Overview(
            broker=self.events.broker.connected,
            dead_letters=dead_letters,
            troubles=find_troubles(self.events.broker.connected, waiting, runners, dead_letters),
            queues=queues,
            waiting=waiting,
            oldest_at=min((one.oldest_at for one in queues or () if one.oldest_at), default=None),
            slots=slots,
            busy=busy,
            runners=sorted(runners, key=_attention)[:SHOWN_RUNNERS],
            runner_count=len(alive),
            silent_count=sum(one.state == "silent" for one in runners),
            running=newest[:SHOWN_RUNNING],
            running_count=len(newest),
            succeeded_per_second=succeeded,
            failed_per_second=failed,
            wait_seconds=history.wait_seconds(),
            recent=recent,
            history=history.lines(now),
        )

    async def _stored(self) -> tuple[list[QueueLevel] | None, list[TaskRow] | None]:
        store = self.events.store
        try:
            found = {level.priority: level for level in await store.waiting()}
            newest = await store.search_tasks(TaskSearch(page_size=SHOWN_RECENT))
        except StoreAwayError:
            return None, None
        levels = [_level(priority, found.get(priority)) for priority in sorted(Priority, reverse=True)]
        return levels, [task_row(record) for record in newest.tasks]

    async def _dead_letters(self) -> int | None:
        try:
            return await self.events.broker.depth(DEAD_LETTER) if self.events.broker.connected else None
        except BrokerAwayError:
            return None


def _level(priority: Priority, found: Waiting | None) -> QueueLevel:
    return QueueLevel(
        priority=priority.word,
        waiting=found.count if found else 0,
        oldest_at=found.oldest_queued_at if found else None,
    )


def _attention(row: RunnerRow) -> tuple[int, str]:
    return ("silent", "draining", "live", "stopped").index(row.state), row.runner
