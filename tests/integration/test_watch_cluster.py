"""Everything at a glance: put together once for all who watch, and never while nobody does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.ingest.event_rates import EventRates
from services.ingest.read_open_tasks import ReadOpenTasks
from services.ingest.watch_cluster import WatchCluster
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.memory import MemoryBroker, MemorySubscription, open_memory
from taskandgo.broker.topology import listener
from taskandgo.clock import SystemClock
from taskandgo.heard_runners import HeardRunners
from taskandgo.messages import ChunkStarted, RunnerHeartbeat, TaskFinished
from taskandgo.store.connect import open_store
from taskandgo.store.records import Submission
from taskandgo.store.store import Store
from taskandgo.task import TaskSpec
from taskandgo.words import Outcome, Priority, Strategy, TaskState
from tests.contract.store_steps import opening
from tests.servers.postgres import private_postgres


@dataclass
class Glance:
    """The use case and what it looks at."""

    watch: WatchCluster
    store: Store
    broker: MemoryBroker
    runners: HeardRunners

    async def accept(self, task_id: str, priority: Priority) -> None:
        """Accept a task now."""
        task = TaskSpec(task_id=task_id, priority=priority, language="python", code="", queued_at=datetime.now(UTC))
        await self.store.accept_task(Submission(task=task, content_hash=b""))


@pytest.fixture
async def glance(tmp_path: Path) -> AsyncIterator[Glance]:
    """Over a memory broker and a SQLite file."""
    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store, looking_at(store) as glance:
        yield glance


@asynccontextmanager
async def looking_at(store: Store) -> AsyncIterator[Glance]:
    """The use case over this store, wired as ingest does."""
    clock, rates = SystemClock(), EventRates()
    async with open_memory() as broker:
        rates.subscription = await broker.consume(listener("rates"), rates.on_event, prefetch=100)
        runners = HeardRunners(clock)
        watch = WatchCluster(broker, runners, rates, ReadOpenTasks(store, clock), clock)
        async with watch.running():
            yield Glance(watch, store, broker, runners)


async def test_all_who_watch_get_the_same_message(glance: Glance) -> None:
    async with aclosing(glance.watch()) as one, aclosing(glance.watch()) as other:
        first, same = await asyncio.gather(anext(one), anext(other))
        assert first is same
        second, same = await asyncio.gather(anext(one), anext(other))
        assert second is same
        assert second.at.ToNanoseconds() > first.at.ToNanoseconds()


async def test_nothing_is_bound_or_read_while_nobody_watches(glance: Glance) -> None:
    async with aclosing(glance.watch()) as one:
        await anext(one)
        assert {"chunk.started.#", "task.finished.#"} <= bound(glance)
        telling = glance.watch._telling
    assert telling is not None
    await telling
    assert not bound(glance)
    async with aclosing(glance.watch()) as one:
        assert (await anext(one)).store_answers


def bound(glance: Glance) -> set[str]:
    """What the queue of the rates is bound to."""
    return glance.broker._queues["rates"].patterns


async def test_who_watches_when_it_stops_is_let_go(tmp_path: Path) -> None:
    seen: list[api.Cluster] = []

    async def watch(glance: Glance) -> None:
        seen.extend([cluster async for cluster in glance.watch()])

    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        async with looking_at(store) as glance:
            watching = asyncio.create_task(watch(glance))
            async with aclosing(glance.watch()) as other:
                await anext(other)
        await asyncio.wait_for(watching, 10)
    assert seen


async def test_a_broker_that_does_not_answer_holds_up_nobody(glance: Glance, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: str) -> None:
        await asyncio.sleep(60)

    for call in ("bind", "unbind"):
        monkeypatch.setattr(MemorySubscription, call, hang)
    for _ in range(2):
        async with asyncio.timeout(5), aclosing(glance.watch()) as one:
            await anext(one)
            assert (await anext(one)).store_answers


async def test_levels_tasks_runners_and_rates_are_told(glance: Glance) -> None:
    for number in range(3):
        await glance.accept(f"low-{number}", Priority.LOW)
    await glance.accept("critical", Priority.CRITICAL)
    await glance.store.open_chunks(opening("critical", 2, lambda task: [task.open_chunk(0), task.open_chunk(1)]))
    await glance.store.start_chunk("critical", 0, 1, "r", datetime.now(UTC))
    beat = {"pool": "default", "slots": 4, "busy": 1, "languages": ["go"], "isolation": "strict"}
    glance.runners.hear(RunnerHeartbeat(runner="r", sent_at=datetime.now(UTC), **beat))  # type: ignore[arg-type]
    async with aclosing(glance.watch()) as clusters:
        first = await anext(clusters)
        critical, _, _, low = first.levels
        assert (critical.running, critical.queued, critical.chunks_ready, critical.chunks_running) == (1, 0, 1, 1)
        assert (low.running, low.queued, low.HasField("oldest_queued_at")) == (0, 3, True)
        assert not critical.HasField("oldest_queued_at")
        assert [task.task_id for task in first.running] == ["critical"]
        assert [task.task_id for task in first.newest] == ["critical", "low-2", "low-1", "low-0"]
        assert [(one.runner, one.busy, one.slots, one.silent) for one in first.runners] == [("r", 1, 4, False)]
        await glance.accept("another", Priority.LOW)
        for message in events():
            await glance.broker.publish(message)
        rates = (await anext(clusters)).rates
        assert rates.started == rates.succeeded == rates.failed > 0
        assert rates.accepted > 0


def events() -> list[ChunkStarted | TaskFinished]:
    """An attempt that starts, and two tasks that end, one of them well."""
    now = datetime.now(UTC)

    def finished(state: TaskState, outcome: Outcome) -> TaskFinished:
        known = {"priority": Priority.LOW, "language": "go", "strategy": Strategy.BATCH, "started_at": now}
        return TaskFinished(
            task_id="t",
            state=state,
            outcome=outcome,
            queued_at=now - timedelta(seconds=1),
            finished_at=now,
            **known,  # type: ignore[arg-type]
        )

    started = ChunkStarted(task_id="t", chunk_index=0, attempt=1, runner="r", started_at=now)
    ends = [(TaskState.SUCCEEDED, Outcome.SUCCEEDED), (TaskState.EXPIRED, Outcome.CANCELLED)]
    return [started, *(finished(*end) for end in ends)]


async def test_a_store_that_is_away_is_told_and_what_was_read_stays() -> None:
    with ExitStack() as server:
        url = server.enter_context(private_postgres())
        async with open_store(url) as store, looking_at(store) as glance, aclosing(glance.watch()) as clusters:
            await glance.accept("t", Priority.HIGH)
            async with asyncio.timeout(60):
                while not (seen := await anext(clusters)).newest:
                    assert seen.store_answers
                server.close()
                while (seen := await anext(clusters)).store_answers:
                    pass
            assert [task.task_id for task in seen.newest] == ["t"]
            assert isinstance(seen, api.Cluster)
