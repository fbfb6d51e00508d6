"""What SIGTERM begins: calls under way are answered, what runs may finish, and the rest is handed back at once.

The services, the store and the RabbitMQ are real; leaving a service's context is what its main does on SIGTERM.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.ingest.main import serve as serve_ingest
from services.ingest.settings import IngestSettings
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.memory import open_memory
from taskandgo.messages import TaskSubmitted
from taskandgo.rpc.client import connect
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from taskandgo.words import TaskState
from tests.e2e.command_line import start
from tests.integration.test_reconcile import accept, dispatcher, end_of, reaches, runner, stdout
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import free_port, fresh_vhost

CALLS = 300
HANDED_BACK = 4


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    async with open_store(fresh_database(postgres_url)) as opened:
        yield opened


async def test_no_call_that_was_answered_is_forgotten_when_ingest_drains(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    nowhere = {"ingest_grpc_listen": "127.0.0.1:0", "ingest_http_listen": "127.0.0.1:0"}
    settings = load(IngestSettings, broker_url="memory://", store_url=url, **nowhere)
    said: Counter[str] = Counter()
    async with AsyncExitStack() as outer:
        store = await outer.enter_async_context(open_store(url))
        broker = await outer.enter_async_context(open_memory())
        service = AsyncExitStack()
        ingest = await service.enter_async_context(serve_ingest(settings, broker, store))
        stub = await outer.enter_async_context(connect(ingest.grpc_address))
        first = asyncio.Event()

        async def submit(task_id: str) -> None:
            try:
                task = api.Task(task_id=task_id, data="python:1")
                await stub.SubmitTask(api.SubmitTaskRequest(task=task))
            except grpc.aio.AioRpcError as error:
                said[error.code().name] += 1
            else:
                said["accepted"] += 1
                first.set()
                assert await store.get_task(task_id) is not None

        calls = [asyncio.create_task(submit(uuid4().hex)) for _ in range(CALLS)]
        await first.wait()
        await service.aclose()
        await asyncio.gather(*calls)
    assert said["accepted"] > 0
    # The second is how the library ends calls that it has received and not begun: nothing of them was recorded.
    assert set(said) <= {"accepted", "UNAVAILABLE", "CANCELLED"}


async def test_who_waits_for_a_task_does_not_see_that_ingest_is_replaced(tmp_path: Path) -> None:
    url, address = f"sqlite:///{tmp_path}/tasks.db", f"127.0.0.1:{free_port()}"
    nowhere = {"ingest_grpc_listen": address, "ingest_http_listen": "127.0.0.1:0"}
    settings = load(IngestSettings, broker_url="memory://", store_url=url, **nowhere)
    async with open_store(url) as store, open_memory() as broker:
        async with serve_ingest(settings, broker, store):
            running = await start("run", "--json", "--id", "watched", "--code", "print(1)", server=address)
            assert running.stdout is not None
            assert b"submitted" in await asyncio.wait_for(running.stdout.readline(), 30)
        async with serve_ingest(settings, broker, store):
            await store.cancel_task("watched", datetime.now(UTC))
            out, err = await asyncio.wait_for(running.communicate(), 40)
    assert b"TASK_STATE_CANCELLED" in out, err
    assert running.returncode == 130


async def test_health_says_that_ingest_drains_while_calls_still_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    nowhere = {"ingest_grpc_listen": "127.0.0.1:0", "ingest_http_listen": "127.0.0.1:0"}
    settings = load(IngestSettings, broker_url="memory://", store_url=url, **nowhere)
    async with open_store(url) as store, open_memory() as broker, AsyncExitStack() as service:
        ingest = await service.enter_async_context(serve_ingest(settings, broker, store))
        async with grpc.aio.insecure_channel(ingest.grpc_address) as channel:
            health = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
            watching = health.Watch(health_pb2.HealthCheckRequest(service="scheduler.Scheduler"))
            assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
            draining = asyncio.create_task(service.aclose())
            assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watching.cancel()
            await draining


async def test_what_runs_may_finish_within_the_grace_period(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    async with dispatcher(url, store) as broker:
        spec = await accept(store, code="import time; time.sleep(2); print('whole')")
        await broker.publish(TaskSubmitted(task=spec))
        async with runner(url, "draining"):
            await reaches(store, spec.task_id, {TaskState.RUNNING})
        record = await end_of(store, spec.task_id)
    assert (record.attempt, stdout(record)) == (1, b"whole\n")


async def test_what_was_handed_back_often_is_not_taken_for_poison(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    async with dispatcher(url, store, dispatcher_max_lost=2) as broker:
        code = f"import os, time; time.sleep(60 * (int(os.environ['ATTEMPT']) <= {HANDED_BACK}))"
        spec = await accept(store, code=code)
        await broker.publish(TaskSubmitted(task=spec))
        for number in range(HANDED_BACK):
            async with runner(url, f"short-{number}", drain_seconds=0.0):
                await runs_as(store, spec.task_id, number + 1)
        async with runner(url, "last"):
            record = await end_of(store, spec.task_id)
    assert (record.state, record.attempt) == (TaskState.SUCCEEDED, HANDED_BACK + 1)


async def runs_as(store: Store, task_id: str, attempt: int) -> None:
    async with asyncio.timeout(30):
        while True:
            if await store.is_running(task_id, 0, attempt):
                return
            await asyncio.sleep(0.05)
