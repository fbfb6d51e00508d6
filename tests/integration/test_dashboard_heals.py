"""What the dashboard says runs is true again by itself, whatever it missed: a lost event, a broker or a store away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.monitor.dashboard import live_events, running_tasks
from services.monitor.dashboard.live_events import LiveEvents
from taskandgo.broker.broker import Broker
from taskandgo.broker.connect import open_broker
from taskandgo.broker.memory import open_memory
from taskandgo.clock import SystemClock
from taskandgo.heard_runners import HeardRunners
from taskandgo.messages import ChunkStarted
from taskandgo.settings import BrokerSettings
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from taskandgo.watchers import Watchers
from tests.chaos.proxy import Proxy
from tests.contract.store_steps import NOW, end, ended, opened
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost


@pytest.fixture
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_events, "HEAL_SECONDS", 0.05)
    monkeypatch.setattr(running_tasks, "QUIET_SECONDS", 0.05)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A SQLite file."""
    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as found:
        yield found


@asynccontextmanager
async def heard(broker: Broker, store: Store) -> AsyncIterator[LiveEvents]:
    """Events as the monitor hears them."""
    clock = SystemClock()
    events = LiveEvents(broker, store, clock, HeardRunners(clock), Watchers())
    async with events.heard():
        yield events


async def running(store: Store) -> str:
    """A task that runs, as the store has it."""
    task_id = await opened(store)
    await store.start_chunk(task_id, 0, 1, "runner", NOW)
    return task_id


def started(task_id: str) -> ChunkStarted:
    return ChunkStarted(task_id=task_id, chunk_index=0, attempt=1, runner="runner", started_at=datetime.now(UTC))


def shown(events: LiveEvents) -> set[str]:
    return {task.task_id for task in events.running.newest(100)}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("_hurry")
async def test_a_task_goes_whose_end_was_not_heard_and_one_that_runs_stays(store: Store) -> None:
    ending, staying = await running(store), await running(store)
    async with open_memory() as broker, heard(broker, store) as events, events.looking():
        for task_id in (ending, staying):
            await broker.publish(started(task_id))
        await until(lambda: shown(events) == {ending, staying})
        await end(store, ended(ending))
        await until(lambda: shown(events) == {staying})
        # Long enough to have been asked for again and again.
        await asyncio.sleep(0.5)
        assert shown(events) == {staying}
        assert events.running.newest(1)[0].runner == "runner"


async def test_who_is_heard_of_is_not_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_events, "HEAL_SECONDS", 0.05)
    asked: list[list[str]] = []

    async def still_open(task_ids: list[str]) -> set[str]:
        asked.append(task_ids)
        return set()

    monkeypatch.setattr(store, "still_open", still_open)
    task_id = await running(store)
    async with open_memory() as broker, heard(broker, store) as events, events.looking():
        await until(lambda: shown(events) == {task_id})
        await asyncio.sleep(0.5)
    assert asked == []


@pytest.mark.usefixtures("_hurry")
async def test_what_ran_before_shows_once_the_store_is_back(postgres_url: str) -> None:
    url = fresh_database(postgres_url)
    parts = urlsplit(url)
    async with Proxy((parts.port or 5432,)).running() as proxy:
        through = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}").geturl()
        async with open_store(through) as store, open_memory() as broker, heard(broker, store) as events:
            task_id = await running(store)
            proxy.refusing = True
            proxy.cut()
            async with events.looking():
                assert shown(events) == set()
                proxy.heal()
                await until(lambda: shown(events) == {task_id})


async def test_what_happened_while_the_broker_was_away_is_made_up_for_when_it_is_back(
    rabbitmq_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the return itself can be what makes it look.
    monkeypatch.setattr(live_events, "HEAL_SECONDS", 3600)
    parts = urlsplit(fresh_vhost(rabbitmq_url))
    before = await running(store)
    async with Proxy((parts.port or 5672,)).running() as proxy:
        through = parts._replace(netloc=f"guest:guest@127.0.0.1:{proxy.port}").geturl()
        settings = BrokerSettings(broker_url=through)
        async with open_broker(settings) as broker, heard(broker, store) as events, events.looking():
            assert shown(events) == {before}
            proxy.refusing = True
            proxy.cut()
            await until(lambda: not broker.connected)
            await end(store, ended(before))
            after = await running(store)
            proxy.heal()
            await until(lambda: shown(events) == {after})
