"""Reconnecting again and again leaks nothing, and waiting for what is away costs next to nothing.

RECONNECT_CYCLES says how often; ten thousand takes most of an hour, and finds what far fewer already show.
"""

import asyncio
import gc
import logging
import os
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.broker.rabbitmq import open_rabbitmq
from taskandgo.broker.topology import DISPATCHER_TASK_CANCELLED
from taskandgo.errors import AwayError
from taskandgo.messages import TaskCancelled, decode
from taskandgo.settings import BrokerSettings
from tests.chaos.fleet import Fleet, Member, running_fleet
from tests.chaos.proxy import Proxy
from tests.chaos.world import ENV
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import NODES, fresh_vhost

CYCLES = int(os.environ.get("RECONNECT_CYCLES", "30"))
WARM_UP_CYCLES = 5
MORE_BYTES = 8 * 1024 * 1024
AWAY_SECONDS = 8.0
#: Neither has anything to finish, whatever is away.
STOP_SECONDS = 8.0
#: Of one processor, for one process.
MOST_CPU_SHARE = 0.08


@pytest.fixture
def _unlogged() -> Iterator[None]:
    """Log lines that are kept for a failing test would look like a leak."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_unlogged")
@pytest.mark.timeout(CYCLES * 10 + 120)
async def test_reconnecting_and_working_leaks_nothing(rabbitmq_url: str) -> None:
    url, heard = fresh_vhost(rabbitmq_url), asyncio.Queue[str]()

    async def hear(delivery: Delivery) -> Disposition:
        message = decode(delivery.body)
        assert isinstance(message, TaskCancelled)
        heard.put_nowait(message.task_id)
        return Ack()

    async with Proxy([urlsplit(url).port or 0]).running() as way:
        settings = BrokerSettings(broker_url=url.replace(f":{way.targets[0]}", f":{way.port}"))
        async with open_rabbitmq(settings) as broker:
            await broker.consume(DISPATCHER_TASK_CANCELLED, hear, prefetch=10)
            for _ in range(WARM_UP_CYCLES):
                await _cut_and_work(way, broker, heard)
            before = _held(rabbitmq_url)
            for _ in range(CYCLES):
                await _cut_and_work(way, broker, heard)
            after = _held(rabbitmq_url)
    assert {what: (before[what], after[what]) for what in before if after[what] > before[what] + _slack(what)} == {}


async def test_a_broker_that_hangs_up_is_waited_for(rabbitmq_url: str) -> None:
    url = fresh_vhost(rabbitmq_url)
    async with Proxy([urlsplit(url).port or 0], refusing=True).running() as way:
        settings = BrokerSettings(broker_url=url.replace(f":{way.targets[0]}", f":{way.port}"))
        opening = asyncio.create_task(_open_and_close(settings))
        assert not (await asyncio.wait([opening], timeout=2))[0]
        way.heal()
        await asyncio.wait_for(opening, 30)


async def _open_and_close(settings: BrokerSettings) -> None:
    async with open_rabbitmq(settings) as broker:
        assert broker.connected


async def _cut_and_work(way: Proxy, broker: Broker, heard: "asyncio.Queue[str]") -> None:
    way.cut()
    task_id = uuid4().hex
    async with asyncio.timeout(30):
        while not await _published(broker, task_id):
            await asyncio.sleep(0.05)
        # One that was not confirmed may have arrived all the same, and be heard now.
        while await heard.get() != task_id:
            pass


async def _published(broker: Broker, task_id: str) -> bool:
    try:
        await broker.publish(TaskCancelled(task_id=task_id))
    except AwayError:
        return False
    return True


def _held(rabbitmq_url: str) -> dict[str, int]:
    """What this process and the broker hold because of it."""
    gc.collect()
    node = NODES[rabbitmq_url]
    return {
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len([*Path("/proc/self/fd").iterdir()]),
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize(),
        "connections": len(node.control("list_connections", "pid").split()),
        "channels": len(node.control("list_channels", "pid").split()),
    }


def _slack(what: str) -> int:
    # Connections that were cut are noticed by the broker a moment later.
    return {"memory": MORE_BYTES, "tasks": 3}.get(what, 4)


@pytest.fixture
async def fleet(rabbitmq_url: str, postgres_url: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    """One of each service, on servers that nobody else's work comes from."""
    one_of_each = {"ingest": 1, "dispatcher": 1, "runner": 1, "monitor": 1}
    broker, store = fresh_vhost(rabbitmq_url), fresh_database(postgres_url)
    async with running_fleet(tmp_path, broker, store, one_of_each, ENV) as started:
        await started.started()
        yield started


@pytest.mark.timeout(180)
async def test_waiting_for_what_is_away_is_idle(fleet: Fleet) -> None:
    busy = {what: await _busy_without(fleet, what) for what in ("store", "broker")}
    assert busy == {"store": {}, "broker": {}}
    assert not any(member.exits for member in fleet.members.values())
    async with asyncio.timeout(len(fleet.members) * STOP_SECONDS):
        for member in fleet.members.values():
            assert await member.stop() == 0


async def _busy_without(fleet: Fleet, what: str) -> dict[str, float]:
    """The processes that spent more than they may, with how many seconds of it."""
    for way in (getattr(member, what) for member in fleet.members.values()):
        way.refusing = True
        way.cut()
    await asyncio.sleep(1)  # the first moment, in which all of them notice, is not meant
    before = {member.name: _cpu_seconds(member) for member in fleet.members.values()}
    await asyncio.sleep(AWAY_SECONDS)
    spent = {member.name: _cpu_seconds(member) - before[member.name] for member in fleet.members.values()}
    return {name: seconds for name, seconds in spent.items() if seconds > MOST_CPU_SHARE * AWAY_SECONDS}


def _cpu_seconds(member: Member) -> float:
    assert member.process
    fields = Path(f"/proc/{member.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
