"""Every process of every service is restarted under load: no call fails, and no chunk runs a second time.

Two of each are there, and the client knows both ingests by one address, as behind a service name in a cluster; it
repeats by gRPC's own retry policy what an ingest that goes away did not take up.
"""

import asyncio
import random

import pytest

from tests.chaos.client import Client
from tests.chaos.executions import executions, per_chunk
from tests.chaos.mixed_tasks import long_python, short_python, split_lines
from tests.chaos.verdict import breaches_of
from tests.chaos.world import World, make_world

TWO_OF_EACH = {"ingest": 2, "dispatcher": 2, "runner": 2}
KINDS = (short_python, long_python, split_lines)
PAUSE_SECONDS = 0.4
FINISH_SECONDS = 60.0


@pytest.mark.timeout(300)
async def test_a_rolling_restart_is_invisible() -> None:
    async with make_world(TWO_OF_EACH) as world, Client([_one_address(world)], retries=True) as client:
        await world.fleet.started()
        submitting = asyncio.create_task(_submit_for_ever(client))
        codes = {member.name: await _restarted(world, member.name) for member in world.fleet.members.values()}
        submitting.cancel()
        async with asyncio.timeout(FINISH_SECONDS):
            await client.settle()
            while await world.open_tasks():
                await asyncio.sleep(0.2)
        statuses = {task_id: await client.status(task_id) for task_id in client.accepted}
        ran = executions((member.log for member in world.fleet.of("runner")), world.listener.heard)
    assert set(codes.values()) == {0}
    assert client.answers.keys() == {"OK"}
    assert list(breaches_of(client, statuses)) == []
    assert per_chunk(ran).keys() == {1}


def _one_address(world: World) -> str:
    return f"ipv4:{','.join(world.fleet.grpc_addresses)}"


async def _submit_for_ever(client: Client) -> None:
    number = 0
    while True:
        mixed = KINDS[number % len(KINDS)](number, random.Random(number))
        mixed.task.task_id = f"rolling-{number}"
        client.follow(mixed)
        number += 1
        await asyncio.sleep(PAUSE_SECONDS)


async def _restarted(world: World, name: str) -> int:
    """Restart a process; return when the new one has started, with the exit code of the old one."""
    member = world.fleet.members[name]
    before = member.starts
    code = await member.restart()
    async with asyncio.timeout(60):
        while member.starts == before:
            await asyncio.sleep(0.1)
    return code
