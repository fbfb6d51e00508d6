"""A runner that lost its connection keeps what it runs; one that died is replaced at once, by the next attempt.

The dispatchers, the runners, the store and the RabbitMQ are real; the runner that dies is played by the test.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from services.runner.settings import RunnerSettings
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.broker.connect import open_broker
from taskandgo.broker.topology import runner_chunk_ready
from taskandgo.messages import ChunkFinished, ChunkReady, ChunkStarted, TaskSubmitted, decode
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from taskandgo.task import AttemptResult
from taskandgo.words import Outcome, TaskState
from tests.integration.test_reconcile import accept, dispatcher, end_of, reaches, runner, stdout
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import NODES, fresh_vhost

OTHERS = 2


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    async with open_store(fresh_database(postgres_url)) as opened:
        yield opened


def cut_everybody_off(url: str) -> None:
    """Close every connection to the virtual host, as a failing network would."""
    node, vhost = NODES[url.rpartition("/")[0] + "/"], url.rpartition("/")[2]
    node.control("close_all_connections", "--vhost", vhost, "cut off by the test")


async def test_what_runs_is_kept_when_the_connections_drop(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(dispatcher(url, store))
        await stack.enter_async_context(dispatcher(url, store))
        for number in range(1 + OTHERS):
            await stack.enter_async_context(runner(url, f"runner-{number}", slots=1))
        spec = await accept(store, code="import time; time.sleep(6); print('kept')")
        await broker.publish(TaskSubmitted(task=spec))
        await reaches(store, spec.task_id, {TaskState.RUNNING})
        for _ in range(2):
            await asyncio.to_thread(cut_everybody_off, url)

        record = await end_of(store, spec.task_id)
    assert (record.attempt, stdout(record)) == (1, b"kept\n")


async def test_the_work_of_a_dead_runner_starts_elsewhere_within_2_s(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    taken: asyncio.Future[ChunkReady] = asyncio.get_running_loop().create_future()

    async def take_and_die(delivery: Delivery) -> Disposition:
        message = decode(delivery.body)
        assert isinstance(message, ChunkReady)
        taken.set_result(message)
        await asyncio.sleep(60)
        return Ack()

    settings = load(RunnerSettings, broker_url=url)
    async with dispatcher(url, store) as broker, open_broker(settings) as dying:
        await dying.consume(runner_chunk_ready("default"), take_and_die, prefetch=1)
        spec = await accept(store)
        await broker.publish(TaskSubmitted(task=spec))
        await dying.publish(started(await taken))
        await reaches(store, spec.task_id, {TaskState.RUNNING})
        async with runner(url, "heir"):
            # Leaving this context abandons the chunk: its connection is gone.
            await dying.close()  # type: ignore[attr-defined]
            gone_at = datetime.now(UTC)
            record = await end_of(store, spec.task_id)
    assert record.attempt == 2
    assert record.started_at is not None
    assert record.finished_at is not None
    assert (record.finished_at - gone_at).total_seconds() < 2


async def test_the_late_result_of_an_attempt_that_was_given_up_changes_nothing(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    async with dispatcher(url, store) as broker:
        spec = await accept(store, code="import time; time.sleep(1); print('second')")
        await broker.publish(TaskSubmitted(task=spec))
        await emitted(broker, 1)
        await broker.publish(ended(spec.task_id, Outcome.LOST))
        await emitted(broker, 2)
        await broker.publish(ended(spec.task_id, Outcome.SUCCEEDED))
        async with runner(url, "heir"):
            record = await end_of(store, spec.task_id)
    assert (record.attempt, stdout(record)) == (2, b"second\n")


async def emitted(broker: Broker, attempts: int) -> None:
    async with asyncio.timeout(20):
        while True:
            if await broker.depth(runner_chunk_ready("default")) == attempts:
                return
            await asyncio.sleep(0.05)


def started(chunk: ChunkReady) -> ChunkStarted:
    return ChunkStarted(
        task_id=chunk.task_id,
        chunk_index=chunk.chunk_index,
        attempt=chunk.attempt,
        runner="dying",
        started_at=datetime.now(UTC),
    )


def ended(task_id: str, outcome: Outcome) -> ChunkFinished:
    return ChunkFinished(
        task_id=task_id,
        chunk_index=0,
        attempt=1,
        runner="late",
        started_at=datetime.now(UTC),
        finished_at=datetime.now(UTC),
        result=AttemptResult(outcome=outcome, stdout=b"first\n"),
    )
