"""An ingest that starts while there is no broker takes tasks at once, and publishes them when there is one."""

import asyncio
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
import pytest

from services.ingest.main import serve as serve_ingest
from services.ingest.settings import IngestSettings
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker import late as late_broker
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.broker.connect import open_broker
from taskandgo.broker.late import LateSubscription, open_broker_late
from taskandgo.broker.topology import DISPATCHER_TASK_SUBMITTED, listener, runner_chunk_ready
from taskandgo.messages import ChunkReady
from taskandgo.rpc.client import connect
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.words import Priority
from tests.chaos.proxy import Proxy
from tests.servers.rabbitmq import fresh_vhost

TASKS = 20
READY = ChunkReady(
    task_id="t",
    chunk_index=0,
    chunk_count=1,
    attempt=1,
    priority=Priority.NORMAL,
    pool="default",
    language="python",
    code="",
)


async def test_tasks_are_taken_before_there_is_a_broker_and_published_when_there_is(
    rabbitmq_url: str, tmp_path: Path
) -> None:
    url, store_url = fresh_vhost(rabbitmq_url), f"sqlite:///{tmp_path}/tasks.db"
    parts = urlsplit(url)
    nowhere = {"ingest_grpc_listen": "127.0.0.1:0", "ingest_http_listen": "127.0.0.1:0"}
    async with Proxy((parts.port or 5672,)).running() as proxy:
        proxy.refusing = True
        through = parts._replace(netloc=f"guest:guest@127.0.0.1:{proxy.port}").geturl()
        settings = load(IngestSettings, broker_url=through, store_url=store_url, **nowhere)
        async with (
            open_store(store_url) as store,
            open_broker_late(settings, 0.5) as late,
            serve_ingest(settings, late, store) as ingest,
            connect(ingest.grpc_address) as stub,
            open_broker(load(IngestSettings, broker_url=url)) as broker,
        ):
            for number in range(TASKS):
                await stub.SubmitTask(api.SubmitTaskRequest(task=api.Task(task_id=f"task-{number}", data="python:1")))
            assert await broker.depth(DISPATCHER_TASK_SUBMITTED) == 0
            proxy.heal()
            async with asyncio.timeout(15):
                while True:
                    if await broker.depth(DISPATCHER_TASK_SUBMITTED) == TASKS:
                        break
                    await asyncio.sleep(0.05)
            assert late.connected


async def test_a_broker_that_answers_late_and_cannot_be_used_is_tried_again(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_broker, "AGAIN_SECONDS", 0.2)
    url = fresh_vhost(rabbitmq_url)
    parts = urlsplit(url)
    async with Proxy((parts.port or 5672,)).running() as proxy, await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(DISPATCHER_TASK_SUBMITTED.name, durable=True, arguments={"x-max-length": 1})
        proxy.refusing = True
        through = parts._replace(netloc=f"guest:guest@127.0.0.1:{proxy.port}").geturl()
        async with open_broker_late(load(IngestSettings, broker_url=through), 0.2) as late:
            collected: asyncio.Queue[Delivery] = asyncio.Queue()
            queue = listener(f"ingest.task-events.{uuid4().hex}")
            subscription = await late.consume(queue, partial(_put, collected), prefetch=1)
            await subscription.bind("chunk.ready.#")
            proxy.heal()
            # Long enough to have been refused the queue that has other arguments.
            await asyncio.sleep(1)
            assert not late.connected
            await channel.queue_delete(DISPATCHER_TASK_SUBMITTED.name)
            async with asyncio.timeout(15):
                await late.arrived.wait()
                await late.declare(runner_chunk_ready("default"))
                await late.publish(READY)
                assert (await collected.get()).routing_key == "chunk.ready.default"


async def test_what_is_bound_while_a_consumer_begins_is_bound(rabbitmq_url: str) -> None:
    collected: asyncio.Queue[Delivery] = asyncio.Queue()
    async with open_broker(load(IngestSettings, broker_url=fresh_vhost(rabbitmq_url))) as broker:
        subscription = LateSubscription(listener(f"ingest.task-events.{uuid4().hex}"), partial(_put, collected), 1)
        beginning = asyncio.ensure_future(subscription.begin(broker))
        await asyncio.sleep(0)
        assert not subscription.begun
        await subscription.bind("chunk.ready.#")
        await beginning
        await broker.declare(runner_chunk_ready("default"))
        await broker.publish(READY)
        async with asyncio.timeout(5):
            assert (await collected.get()).routing_key == "chunk.ready.default"


async def _put(collected: asyncio.Queue[Delivery], delivery: Delivery) -> Disposition:
    collected.put_nowait(delivery)
    return Ack()
