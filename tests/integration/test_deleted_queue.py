"""A queue that somebody deleted under a running ingest costs no task: it is filled once it is declared anew."""

import asyncio
from datetime import timedelta
from pathlib import Path

import aio_pika
import pytest

from services.ingest import announce_task
from services.ingest.main import serve as serve_ingest
from services.ingest.settings import IngestSettings
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.connect import open_broker
from taskandgo.broker.topology import DISPATCHER_TASK_SUBMITTED
from taskandgo.rpc.client import connect
from taskandgo.settings import load
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
        async with asyncio.timeout(15):
            while True:
                if await broker.depth(DISPATCHER_TASK_SUBMITTED) == TASKS:
                    break
                await asyncio.sleep(0.05)
