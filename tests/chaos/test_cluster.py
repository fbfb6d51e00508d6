"""Three RabbitMQ nodes that are one broker: the node that leads the queues is killed, and nothing is lost.

It takes a RabbitMQ from 4.3 on, so `make test-newer-broker` runs it. Queues are quorum queues there. Services
reach the nodes as in an installation: through an address behind which is whichever node answers.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.store.migrate import migrate
from tests.chaos.client import Client
from tests.chaos.fleet import running_fleet
from tests.chaos.mixed_tasks import mixed_task
from tests.chaos.verdict import breaches_of
from tests.chaos.world import ENV
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import PrivateNode, node_programs, private_cluster_of_nodes

COUNTS = {"ingest": 1, "dispatcher": 2, "runner": 2}
SEED = 11
TASKS = 40
FINISH_SECONDS = 90.0


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[PrivateNode]]:
    """A cluster of a RabbitMQ whose quorum queues know priorities."""
    with private_cluster_of_nodes(3, node_programs()) as started:
        yield started


@pytest.mark.timeout(300)
async def test_killing_the_leader_of_the_queues_loses_nothing(
    nodes: list[PrivateNode], postgres_url: str, tmp_path: Path
) -> None:
    store = fresh_database(postgres_url)
    await migrate(store)
    async with (
        running_fleet(tmp_path, nodes[0].url, store, COUNTS, ENV) as fleet,
        Client(fleet.grpc_addresses) as client,
    ):
        for member in fleet.members.values():
            member.broker.targets = [node.port for node in nodes]
        for number in range(TASKS):
            client.follow(mixed_task(number, SEED))
            if number in {TASKS // 4, TASKS // 2}:
                await asyncio.to_thread(_replace_leader, nodes)
        async with asyncio.timeout(FINISH_SECONDS):
            await client.settle()
            await _until_all_ended(client)
        statuses = {task_id: await client.status(task_id) for task_id in client.accepted}
    assert len(client.accepted) == TASKS
    assert list(breaches_of(client, statuses)) == []


def _replace_leader(nodes: list[PrivateNode]) -> None:
    """Kill the node that leads the most queues, and bring it back as a follower."""
    led = Counter(nodes[0].control("list_queues", "leader").split())
    leader = max(nodes, key=lambda node: led[node.name])
    assert led[leader.name]
    leader.kill()
    leader.start()


async def _until_all_ended(client: Client) -> None:
    for task_id in client.accepted:
        while (await client.status(task_id)).state in {api.TASK_STATE_QUEUED, api.TASK_STATE_RUNNING}:
            await asyncio.sleep(0.2)
