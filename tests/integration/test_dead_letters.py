"""What nobody could deal with: it is kept with its reason, and `taskandgo dead` shows it, replays it or throws it away.

The RabbitMQ and the dispatcher are real; the command line runs in processes of its own.
"""

import asyncio
import base64
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aio_pika
import msgspec
import pytest

from taskandgo.broker.broker import Broker, Delivery, Disposition, Reject
from taskandgo.broker.topology import DEAD_LETTER, EXCHANGE, runner_chunk_ready
from taskandgo.messages import TaskSubmitted
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from tests.e2e.command_line import COMMAND, ROOT
from tests.integration.test_reconcile import accept, dispatcher
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

POISON = {
    "nonsense": b"\xffnonsense",
    "of another type": msgspec.msgpack.encode({"type": "NoSuchMessage", "task_id": "a"}),
    "of a later version": msgspec.msgpack.encode({"type": "TaskSubmitted", "task": 7}),
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What it printed with --json."""
        return [json.loads(line) for line in self.out.splitlines()]


async def dead(url: str, *words: str) -> Ended:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BROKER_URL": url}
    process = await asyncio.create_subprocess_exec(*COMMAND, "dead", *words, stdout=PIPE, stderr=PIPE, env=environment)
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    async with open_store(fresh_database(postgres_url)) as opened:
        yield opened


async def kept(broker: Broker, count: int) -> None:
    async with asyncio.timeout(20):
        while True:
            if await broker.depth(DEAD_LETTER) == count:
                return
            await asyncio.sleep(0.05)


async def test_poison_is_kept_and_can_be_seen_and_thrown_away(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    async with dispatcher(url, store) as broker, await aio_pika.connect(url) as connection:
        exchange = await (await connection.channel()).get_exchange(EXCHANGE)
        for body in POISON.values():
            await exchange.publish(aio_pika.Message(body), "task.submitted")
        await kept(broker, len(POISON))

        listed = await dead(url, "list", "--json")
        assert (listed.code, len(listed.objects)) == (0, len(POISON))
        assert {one["queue"] for one in listed.objects} == {"dispatcher.task-submitted"}
        assert all(one["reason"].startswith("not a message this version knows") for one in listed.objects)
        assert await broker.depth(DEAD_LETTER) == len(POISON), "looking at letters must not take them away"

        letter = listed.objects[0]["id"]
        shown = (await dead(url, "show", letter, "--json")).objects[0]
        assert base64.b64decode(shown["body_bytes"]) in POISON.values()
        replayed = await dead(url, "replay", letter)
        assert (replayed.code, letter in replayed.err) == (1, True)
        assert (await dead(url, "purge", letter)).code == 0
        await kept(broker, len(POISON) - 1)
        assert (await dead(url, "show", letter)).code == 4
        assert (await dead(url, "purge")).code == 2
        assert (await dead(url, "purge", "--all", "--json")).objects[0]["purged"]
        assert "No dead letters" in (await dead(url, "list")).out


async def test_a_message_that_failed_is_dealt_with_when_it_is_replayed(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    spec = await accept(store)

    async def reject(_: Delivery) -> Disposition:
        return Reject("a mistake in a release that was withdrawn")

    async with dispatcher(url, store) as broker:
        queue = runner_chunk_ready("default")
        subscription = await broker.consume(queue, reject, prefetch=1)
        await broker.publish(TaskSubmitted(task=spec))
        await kept(broker, 1)
        await subscription.stop()

        shown = (await dead(url, "list", "--json")).objects[0]
        assert (shown["message"], shown["task_id"]) == ("ChunkReady", spec.task_id)
        assert (await dead(url, "replay", "--all", "--json")).objects == [{"replayed": [shown["id"]], "unreadable": []}]
        assert (await broker.depth(DEAD_LETTER), await broker.depth(queue)) == (0, 1)


async def test_what_cannot_be_reached_is_said() -> None:
    embedded = await dead("memory://", "list")
    assert (embedded.code, "taskandgo up" in embedded.err) == (2, True)
    assert (await dead("amqp://guest:guest@127.0.0.1:1/", "list")).code == 69
