"""A queue that somebody deleted under a running service costs no message: it is filled once it is declared anew."""

import asyncio
from datetime import timedelta
from pathlib import Path

import aio_pika
import pytest

from services.ingest import announce_task
from services.ingest.main import serve as serve_ingest
from services.ingest.settings import IngestSettings
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.broker import Broker, Delivery, Disposition, Reject
from taskandgo.broker.connect import open_broker
from taskandgo.broker.topology import (
    DEAD_LETTER,
    DISPATCHER_TASK_CANCELLED,
    DISPATCHER_TASK_SUBMITTED,
    MONITOR_DEAD_LETTER,
    Queue,
)
from taskandgo.messages import TaskCancelled
from taskandgo.rpc.client import connect
from taskandgo.settings import BrokerSettings, load
from taskandgo.store.connect import open_store
from tests.servers.rabbitmq import fresh_vhost

TASKS = 5


async def test_what_found_no_queue_is_published_once_there_is_one(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce_task, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(announce_task, "UNCONFIRMED_AFTER", timedelta(0))
    url, store_url = fresh_vhost(rabbitmq_url), f"sqlite:///{tmp_path}/tasks.db"
    nowhere = {"ingest_grpc_listen": "127.0.0.1:0", "ingest_http_listen": "127.0.0.1:0"}
    settings = load(IngestSettings, broker_url=url, store_url=store_url, **nowhere)
    async with (
        open_store(store_url) as store,
        open_broker(settings) as broker,
        serve_ingest(settings, broker, store) as ingest,
        connect(ingest.grpc_address) as stub,
        await aio_pika.connect(url) as connection,
    ):
        await (await connection.channel()).queue_delete(DISPATCHER_TASK_SUBMITTED.name)
        for number in range(TASKS):
            await stub.SubmitTask(api.SubmitTaskRequest(task=api.Task(task_id=f"task-{number}", data="python:1")))
        # Long enough for the sweep to have found no queue either.
        await asyncio.sleep(0.5)
        await broker.declare(DISPATCHER_TASK_SUBMITTED)
        await holds(broker, DISPATCHER_TASK_SUBMITTED, TASKS)


async def test_what_cannot_be_dead_lettered_is_tried_again_in_peace(rabbitmq_url: str) -> None:
    url, deliveries = fresh_vhost(rabbitmq_url), 0

    async def reject(_: Delivery) -> Disposition:
        nonlocal deliveries
        deliveries += 1
        return Reject("nobody can deal with it")

    async with open_broker(load(BrokerSettings, broker_url=url)) as broker, await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in (DEAD_LETTER, MONITOR_DEAD_LETTER):
            await channel.queue_delete(queue.name)
        await broker.consume(DISPATCHER_TASK_CANCELLED, reject, prefetch=10)
        await broker.publish(TaskCancelled(task_id="a"))
        await asyncio.sleep(2)
        assert 2 <= deliveries <= 10
        await broker.declare(DEAD_LETTER)
        await holds(broker, DEAD_LETTER, 1)


async def holds(broker: Broker, queue: Queue, count: int) -> None:
    async with asyncio.timeout(15):
        while True:
            if await broker.depth(queue) == count:
                return
            await asyncio.sleep(0.05)
