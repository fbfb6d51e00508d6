"""Everything at a glance, told in the API's words: pure."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from services.ingest.event_rates import FAILED, STARTED, SUCCEEDED
from services.ingest.read_open_tasks import OpenTasks
from services.ingest.task_status import task_status, timestamp
from taskandgo import __version__
from taskandgo.api import scheduler_pb2 as api
from taskandgo.heard_runners import HeardRunner
from taskandgo.store.open_tasks import OpenLevel


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known without the store: events are those counted within so many seconds."""

    now: datetime
    broker_connected: bool
    runners: tuple[HeardRunner, ...]
    events: Counter[str]
    seconds: float


def cluster(heard: Heard, tasks: OpenTasks | None, *, store_answers: bool) -> api.Cluster:
    """All of it; without what is in the store until that has been read."""
    found = api.Cluster(
        at=timestamp(heard.now),
        version=__version__,
        broker_connected=heard.broker_connected,
        store_answers=store_answers,
        runners=[
            runner_status(one, heard.now) for one in sorted(heard.runners, key=lambda one: (one.pool, one.runner))
        ],
        rates=_rates(heard, tasks),
    )
    if tasks is not None:
        read = api.Cluster(
            read_at=timestamp(tasks.read_at),
            levels=map(_level, tasks.levels),
            running=map(task_status, tasks.running),
            newest=map(task_status, tasks.newest),
        )
        found.MergeFrom(read)
    return found


def runner_status(runner: HeardRunner, now: datetime) -> api.RunnerStatus:
    """A runner."""
    return api.RunnerStatus(
        runner=runner.runner,
        pool=runner.pool,
        slots=runner.slots,
        busy=runner.busy,
        languages=runner.languages,
        isolation=runner.isolation,
        draining=runner.draining,
        heard_at=timestamp(runner.heard_at),
        silent=runner.is_silent(now),
    )


def _level(level: OpenLevel) -> api.Level:
    return api.Level(
        priority=level.priority.word,
        queued=level.queued,
        oldest_queued_at=timestamp(level.oldest_queued_at),
        running=level.running,
        chunks_ready=level.chunks_ready,
        chunks_running=level.chunks_running,
    )


def _rates(heard: Heard, tasks: OpenTasks | None) -> api.Rates:
    return api.Rates(
        accepted=tasks.accepted if tasks else 0.0,
        started=heard.events[STARTED] / heard.seconds,
        succeeded=heard.events[SUCCEEDED] / heard.seconds,
        failed=heard.events[FAILED] / heard.seconds,
    )
