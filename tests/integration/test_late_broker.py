"""An ingest that starts while there is no broker takes tasks at once, and publishes them when there is one."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from services.ingest.main import serve as serve_ingest
from services.ingest.settings import IngestSettings
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.connect import open_broker
from taskandgo.broker.late import open_broker_late
from taskandgo.broker.topology import DISPATCHER_TASK_SUBMITTED
from taskandgo.rpc.client import connect
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from tests.chaos.proxy import Proxy
from tests.servers.rabbitmq import fresh_vhost

TASKS = 20


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
