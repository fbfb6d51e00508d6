"""The first page: health and throughput at a glance, queues, runners, what runs and what came last."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from services.monitor.dashboard.frames import Frame, event
from services.monitor.dashboard.history import Lines
from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.parts_page import PartsPage
from services.monitor.dashboard.rendering import Rendering
from services.monitor.dashboard.runner_rows import RunnerRow, runner_row
from services.monitor.dashboard.running_tasks import RunningTask
from services.monitor.dashboard.task_rows import TaskRow, task_row
from services.monitor.dashboard.troubles import find_troubles
from taskandgo.broker.broker import Broker
from taskandgo.broker.topology import DEAD_LETTER
from taskandgo.errors import BrokerAwayError, StoreAwayError
from taskandgo.store.records import Waiting
from taskandgo.store.search import TaskSearch
from taskandgo.store.store import Store
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


def overview_page(events: LiveEvents, rendering: Rendering) -> PartsPage:
    """The first page, with its charts."""
    return PartsPage(events, rendering, PARTS, partial(_read, events), _news, _chart_lines)


async def _read(events: LiveEvents) -> Overview:
    found, recent = await _stored(events.store)
    queues = None if found is None else [_level(priority, found) for priority in sorted(Priority, reverse=True)]
    runners = [runner_row(one, events.clock.now()) for one in events.runners.all()]
    alive = [one for one in runners if one.state in ("live", "draining")]
    pools = None if found is None else _by_pool(found)
    waiting = None if pools is None else pools.total()
    now, history = events.clock.now().timestamp(), events.history
    history.waiting(now, waiting)
    succeeded, failed = history.per_second(now, RATE_SECONDS)
    dead_letters = await _dead_letters(events.broker)
    return Overview(
        broker=events.broker.connected,
        dead_letters=dead_letters,
        troubles=find_troubles(events.broker.connected, pools, runners, dead_letters),
        queues=queues,
        waiting=waiting,
        oldest_at=min((one.oldest_at for one in queues or () if one.oldest_at), default=None),
        slots=sum(one.slots for one in alive),
        busy=sum(one.busy for one in alive),
        runners=sorted(runners, key=_attention)[:SHOWN_RUNNERS],
        runner_count=len(alive),
        silent_count=sum(one.state == "silent" for one in runners),
        running=events.running.newest(SHOWN_RUNNING),
        running_count=len(events.running),
        succeeded_per_second=succeeded,
        failed_per_second=failed,
        wait_seconds=history.wait_seconds(),
        recent=recent,
        history=history.lines(now),
    )


def _news(events: LiveEvents) -> object:
    """Anything that happens may be worth a look; so is a runner that fell silent."""
    now = events.clock.now()
    return events.count, sum(runner.is_silent(now) for runner in events.runners.all()), events.broker.connected


def _chart_lines(overview: Overview) -> list[Frame]:
    return [event("history", overview.history)]


async def _stored(store: Store) -> tuple[list[Waiting] | None, list[TaskRow] | None]:
    try:
        found = await store.waiting()
        newest = await store.search_tasks(TaskSearch(page_size=SHOWN_RECENT))
    except StoreAwayError:
        return None, None
    return found, [task_row(record) for record in newest.tasks]


async def _dead_letters(broker: Broker) -> int | None:
    try:
        return await broker.depth(DEAD_LETTER) if broker.connected else None
    except BrokerAwayError:
        return None


def _by_pool(found: Sequence[Waiting]) -> Counter[str]:
    pools = Counter[str]()
    for one in found:
        pools[one.pool] += one.count
    return pools


def _level(priority: Priority, found: Sequence[Waiting]) -> QueueLevel:
    """The tasks of this priority in all pools."""
    pools = [one for one in found if one.priority == priority]
    return QueueLevel(
        priority=priority.word,
        waiting=sum(one.count for one in pools),
        oldest_at=min((one.oldest_queued_at for one in pools if one.oldest_queued_at), default=None),
    )


def _attention(row: RunnerRow) -> tuple[int, str]:
    return ("silent", "draining", "live", "stopped").index(row.state), row.runner
