"""What the monitor exports of what happens: real messages through both brokers and a real store, read over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.monitor.main import serve
from services.monitor.on_dead_letter import reason_label
from services.monitor.settings import MonitorSettings
from taskandgo.broker.broker import Broker, Delivery, Reject
from taskandgo.broker.connect import open_broker
from taskandgo.broker.topology import (
    DISPATCHER_TASK_SUBMITTED,
    runner_chunk_ready,
)
from taskandgo.messages import ChunkFinished, ChunkReady, ChunkStarted, RunnerHeartbeat, TaskFinished, TaskSubmitted
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.records import Submission
from taskandgo.store.store import Store
from taskandgo.task import AttemptResult, TaskSpec, Usage
from taskandgo.telemetry.metrics import MOST_VALUES
from taskandgo.words import Outcome, Priority, Strategy, TaskState
from tests.servers.postgres import private_postgres
from tests.servers.rabbitmq import private_rabbitmq

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GONE_SECONDS = 15.0

Samples = dict[str, float]


@dataclass
class Hand:
    """A clock that a test moves."""

    instant: datetime = NOW

    def now(self) -> datetime:
        """The instant it was set to."""
        return self.instant


@dataclass
class Stage:
    """A running monitor and what it looks at."""

    broker: Broker
    store: Store
    clock: Hand
    address: str
    client: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        """One request to the monitor."""
        return await self.client.get(f"http://{self.address}{path}")

    async def samples(self) -> Samples:
        """Every sample, by its name and its labels' values in the order of the labels' names."""
        families = text_string_to_metric_families((await self.get("/metrics")).text)
        samples = [sample for family in families for sample in family.samples]
        return {":".join([one.name, *(one.labels[key] for key in sorted(one.labels))]): one.value for one in samples}

    async def once(self, wanted: Callable[[Samples], bool]) -> Samples:
        """The samples as soon as they are as wanted; scraping is all that tells what the monitor has counted."""
        async with asyncio.timeout(20):
            while not wanted(found := await self.samples()):
                pass
        return found


@pytest.fixture(scope="module")
def own_rabbitmq_url() -> Iterator[str]:
    """A broker where nobody else's messages are counted."""
    with private_rabbitmq() as url:
        yield url


@pytest.fixture(params=["memory", "rabbitmq"])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    """A monitor over each broker in turn."""
    url = "memory://" if request.param == "memory" else request.getfixturevalue("own_rabbitmq_url")
    async with running(url, f"sqlite:///{tmp_path / 'store.db'}") as found:
        yield found


@asynccontextmanager
async def running(broker_url: str, store_url: str) -> AsyncIterator[Stage]:
    """A monitor over this broker and store."""
    settings = load(
        MonitorSettings,
        broker_url=broker_url,
        store_url=store_url,
        monitor_http_listen="127.0.0.1:0",
        monitor_runner_gone_seconds=GONE_SECONDS,
    )
    clock = Hand()
    async with (
        open_store(store_url) as store,
        open_broker(settings) as broker,
        serve(settings, broker, store, clock) as service,
        httpx.AsyncClient() as client,
    ):
        yield Stage(broker, store, clock, service.http_address, client)


def finished_task(language: str = "python", took: float = 2.0) -> TaskFinished:
    """A task that waited for half of its life."""
    return TaskFinished(
        task_id="t",
        state=TaskState.SUCCEEDED,
        outcome=Outcome.SUCCEEDED,
        priority=Priority.HIGH,
        language=language,
        strategy=Strategy.BATCH,
        queued_at=NOW,
        started_at=NOW + timedelta(seconds=took / 2),
        finished_at=NOW + timedelta(seconds=took),
    )


def finished_chunk(outcome: Outcome, wall_seconds: float) -> ChunkFinished:
    """The end of an attempt."""
    return ChunkFinished(
        task_id="t",
        chunk_index=0,
        attempt=1,
        runner="r",
        started_at=NOW,
        finished_at=NOW,
        result=AttemptResult(outcome=outcome, usage=Usage(wall_seconds=wall_seconds)),
        language="go",
    )


def heartbeat(runner: str, busy: int, sent_at: datetime = NOW) -> RunnerHeartbeat:
    """A sign of life."""
    return RunnerHeartbeat(
        runner=runner, pool="default", slots=4, busy=busy, languages=["go"], isolation="none", sent_at=sent_at
    )


def ready(pool: str) -> ChunkReady:
    """A chunk that may start."""
    return ChunkReady(
        task_id="t",
        chunk_index=0,
        chunk_count=1,
        attempt=1,
        priority=Priority.NORMAL,
        pool=pool,
        language="python",
        code="",
    )


async def blocks(data: bytes) -> AsyncIterator[bytes]:
    """The data, as it comes from a client."""
    yield data


def spec(task_id: str, priority: Priority, queued_at: datetime = NOW) -> TaskSpec:
    """A task."""
    return TaskSpec(task_id=task_id, priority=priority, language="python", code="1", queued_at=queued_at)


async def test_a_finished_task_is_counted_with_how_long_it_waited_and_took(stage: Stage) -> None:
    await stage.broker.publish(finished_task())
    found = await stage.once(lambda samples: samples["taskandgo_tasks_finished_total:python:high:succeeded"] > 0)
    assert found["taskandgo_tasks_finished_total:python:high:succeeded"] == 1
    assert found["taskandgo_task_queue_wait_seconds_sum:high"] == 1
    assert found["taskandgo_task_seconds_sum:python:high"] == 2


async def test_an_unknown_language_is_other(stage: Stage) -> None:
    await stage.broker.publish(finished_task(language="whatever somebody sent"))
    found = await stage.once(lambda samples: samples["taskandgo_tasks_finished_total:other:high:succeeded"] > 0)
    assert not [name for name in found if "whatever" in name]


async def test_clocks_that_differ_make_no_negative_durations(stage: Stage) -> None:
    await stage.broker.publish(finished_task(took=-1.0))
    found = await stage.once(lambda samples: "taskandgo_task_seconds_count:python:high" in samples)
    assert found["taskandgo_task_seconds_sum:python:high"] == 0
    assert found["taskandgo_task_queue_wait_seconds_sum:high"] == 0


async def test_attempts_are_counted_when_they_begin(stage: Stage) -> None:
    started = ChunkStarted(
        task_id="t", chunk_index=0, attempt=1, runner="r", started_at=NOW, priority=Priority.LOW, language="go"
    )
    await stage.broker.publish(started)
    found = await stage.once(lambda samples: samples["taskandgo_chunks_started_total:go:low"] > 0)
    assert found["taskandgo_chunks_started_total:go:low"] == 1


async def test_attempts_are_counted_when_they_end_and_only_what_ran_has_a_duration(stage: Stage) -> None:
    await stage.broker.publish(finished_chunk(Outcome.LOST, 0.0))
    await stage.broker.publish(finished_chunk(Outcome.TIMED_OUT, 3.0))
    ended = {"taskandgo_chunks_finished_total:go:lost", "taskandgo_chunks_finished_total:go:timed_out"}
    found = await stage.once(lambda samples: all(samples[name] for name in ended))
    assert found["taskandgo_chunk_run_seconds_sum:go:timed_out"] == 3
    assert "taskandgo_chunk_run_seconds_sum:go:lost" not in found


async def test_a_runner_shows_until_it_has_been_silent_for_three_heartbeats(stage: Stage) -> None:
    await stage.broker.publish(heartbeat("silent", busy=3))
    found = await stage.once(lambda samples: "taskandgo_runner_slots_busy:default:silent" in samples)
    assert found["taskandgo_runner_slots_busy:default:silent"] == 3
    assert found["taskandgo_runner_slots:default:silent"] == 4
    stage.clock.instant += timedelta(seconds=GONE_SECONDS - 1)
    await stage.broker.publish(heartbeat("live", busy=0))
    await stage.once(lambda samples: "taskandgo_runner_slots:default:live" in samples)
    assert "taskandgo_runner_slots:default:silent" in await stage.samples()
    stage.clock.instant += timedelta(seconds=2)
    found = await stage.samples()
    assert "taskandgo_runner_slots:default:silent" not in found
    assert "taskandgo_runner_slots_busy:default:silent" not in found
    assert "taskandgo_runner_slots:default:live" in found


async def test_runners_are_counted_by_how_they_confine_code(stage: Stage) -> None:
    def now(isolation: str, metering: str) -> RunnerHeartbeat:
        beat = heartbeat("changing", busy=0)
        return msgspec.structs.replace(beat, pool="counted", isolation=isolation, metering=metering)

    await stage.broker.publish(now("strict", "cgroup-v2"))
    await stage.broker.publish(now("strict", "cgroup-v2"))
    found = await stage.once(lambda samples: "taskandgo_runners:strict:cgroup-v2:counted" in samples)
    assert found["taskandgo_runners:strict:cgroup-v2:counted"] == 1
    await stage.broker.publish(now("restricted", "sampled"))
    found = await stage.once(lambda samples: "taskandgo_runners:restricted:sampled:counted" in samples)
    assert "taskandgo_runners:strict:cgroup-v2:counted" not in found
    stage.clock.instant += timedelta(seconds=GONE_SECONDS + 1)
    assert "taskandgo_runners:restricted:sampled:counted" not in await stage.samples()


async def test_a_runner_whose_clock_is_wrong_shows_all_the_same(stage: Stage) -> None:
    await stage.broker.publish(heartbeat("yesterday", busy=1, sent_at=NOW - timedelta(days=1)))
    await stage.once(lambda samples: "taskandgo_runner_slots:default:yesterday" in samples)


async def test_a_dead_letter_is_counted_and_stays(stage: Stage) -> None:
    async def refuse(_delivery: Delivery) -> Reject:
        return Reject("not a message this version knows: it is torn")

    waiting_before = (await stage.samples())["taskandgo_dead_letter_depth"]
    refusing = await stage.broker.consume(DISPATCHER_TASK_SUBMITTED, refuse, prefetch=1)
    await stage.broker.publish(TaskSubmitted(task=spec("t", Priority.NORMAL)))
    name = "taskandgo_dead_letters_total:dispatcher.task-submitted:undecodable"
    found = await stage.once(
        lambda samples: samples[name] > 0 and samples["taskandgo_dead_letter_depth"] > waiting_before
    )
    await refusing.stop()
    assert found[name] == 1
    assert found["taskandgo_dead_letter_depth"] == waiting_before + 1


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("delivery_limit", "delivery_limit"),
        ("expected A, got B", "unexpected"),
        ("KeyError('x')", "failed"),
        ("", "failed"),
    ],
)
def test_reasons_come_in_few_kinds(reason: str, kind: str) -> None:
    assert reason_label(reason) == kind


async def test_what_waits_is_read_from_the_store(stage: Stage) -> None:
    for task in (spec("a", Priority.LOW, NOW - timedelta(seconds=30)), spec("b", Priority.LOW)):
        await stage.store.accept_task(Submission(task=task, content_hash=b""))
    found = await stage.samples()
    assert found["taskandgo_tasks_waiting:default:low"] == 2
    assert found["taskandgo_oldest_waiting_seconds:default:low"] == 30
    assert found["taskandgo_tasks_waiting:default:critical"] == 0
    assert found["taskandgo_oldest_waiting_seconds:default:critical"] == 0
    assert {state: found[f"taskandgo_tasks:{state}"] for state in TaskState} == {
        state: 2.0 if state is TaskState.QUEUED else 0.0 for state in TaskState
    }


async def test_a_task_whose_start_is_not_due_does_not_wait(stage: Stage) -> None:
    later = msgspec.structs.replace(spec("later", Priority.LOW), not_before=NOW + timedelta(days=1))
    await stage.store.accept_task(Submission(task=later, content_hash=b""))
    found = await stage.samples()
    assert found["taskandgo_tasks_waiting:default:low"] == 0
    assert found["taskandgo_tasks:queued"] == 1


async def test_what_waits_is_told_by_pool_up_to_so_many_pools(stage: Stage) -> None:
    pools = [f"pool-{number}" for number in range(MOST_VALUES + 10)]
    tasks = [msgspec.structs.replace(spec(pool, Priority.HIGH), pool=pool) for pool in pools]
    await stage.store.accept_tasks([Submission(task=task, content_hash=b"") for task in tasks])
    found = {name: value for name, value in (await stage.samples()).items() if name.startswith("taskandgo_tasks_wait")}
    high = {name: value for name, value in found.items() if name.endswith(":high")}
    assert sum(high.values()) == len(pools)
    assert len(high) <= MOST_VALUES + 1
    assert high["taskandgo_tasks_waiting:other:high"] > 1


async def test_chunks_in_the_queue_of_a_pool_are_told_as_soon_as_a_runner_of_it_is(stage: Stage) -> None:
    await stage.broker.declare(runner_chunk_ready("told"))
    await stage.broker.publish(ready("told"))
    await stage.broker.publish(msgspec.structs.replace(heartbeat("r", busy=0), pool="told"))
    found = await stage.once(lambda samples: "taskandgo_chunks_waiting:told" in samples)
    assert found["taskandgo_chunks_waiting:told"] == 1
    assert found["taskandgo_chunks_waiting:default"] == 0


async def test_blobs_are_counted(stage: Stage) -> None:
    before = await stage.samples()
    await stage.store.blobs.write(blocks(b"twelve bytes"), 1000, lambda: NOW)
    found = await stage.samples()
    assert (before["taskandgo_blobs"], before["taskandgo_blob_bytes"]) == (0, 0)
    assert (found["taskandgo_blobs"], found["taskandgo_blob_bytes"]) == (1, 12)


async def test_a_task_that_is_announced_twice_is_counted_once(stage: Stage) -> None:
    for task in (finished_task(), finished_task(), finished_task(language="bash")):
        await stage.broker.publish(msgspec.structs.replace(task, task_id=f"twice in {task.language}"))
    found = await stage.once(lambda samples: samples["taskandgo_tasks_finished_total:bash:high:succeeded"] > 0)
    assert found["taskandgo_tasks_finished_total:python:high:succeeded"] == 1
    assert found["taskandgo_task_seconds_count:python:high"] == 1


async def test_many_scrapes_at_once_are_all_answered(stage: Stage) -> None:
    for found in await asyncio.gather(*(stage.samples() for _ in range(20))):
        assert found["taskandgo_tasks_waiting:default:low"] == 0


async def test_a_store_that_is_away_leaves_no_stale_numbers_and_makes_the_monitor_unready() -> None:
    with ExitStack() as server:
        async with running("memory://", server.enter_context(private_postgres())) as stage:
            assert "taskandgo_tasks_waiting:default:low" in await stage.samples()
            assert (await stage.get("/readyz")).status_code == 200
            server.close()
            found = await stage.samples()
            assert "taskandgo_tasks_waiting:default:low" not in found
            assert "taskandgo_tasks:queued" not in found
            unready = await stage.get("/readyz")
            assert (unready.status_code, unready.json()) == (503, {"broker": True, "store": False})


async def test_the_first_page_says_what_there_is(stage: Stage) -> None:
    page = (await stage.get("/")).text
    for path in ("/metrics", "/livez", "/readyz"):
        assert path in page
        assert (await stage.get(path)).status_code == 200


async def test_the_version_is_told(stage: Stage) -> None:
    assert [name for name in await stage.samples() if name.startswith("taskandgo_build_info")]
