"""Everything a campaign has: servers of its own, the fleet, a client at work and somebody who listens."""

import random
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from taskandgo.store.migrate import migrate
from tests.chaos.audit import start_audit
from tests.chaos.client import Client
from tests.chaos.fleet import Fleet, running_fleet
from tests.chaos.listener import Listener, listening
from tests.chaos.mixed_tasks import mixed_task
from tests.servers.postgres import PrivateCluster, private_cluster
from tests.servers.rabbitmq import PrivateNode, private_node

#: Shorter than the defaults, so that a campaign of a minute sees them pass.
ENV = {
    "BROKER_HEARTBEAT_SECONDS": "6",
    "BROKER_PUBLISH_TIMEOUT_SECONDS": "5",
    "RUNNER_HEARTBEAT_SECONDS": "1",
    "RUNNER_BLOB_PATIENCE_SECONDS": "120",
}
OPEN = "SELECT task_id FROM task WHERE state IN ('queued', 'running')"
SEVERAL = {"ingest": 2, "dispatcher": 2, "runner": 2, "monitor": 1}


@dataclass(eq=False)
class World:
    """What faults are injected into."""

    folder: Path
    rabbitmq: PrivateNode
    postgres: PrivateCluster
    fleet: Fleet
    client: Client
    listener: Listener
    #: Messages that nobody can deal with, put in queues so far.
    poisoned: int = 0
    #: Whether the broker has lost what it held.
    emptied: bool = False

    async def sql(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Run a statement as the administrator of the store."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    def burst(self, count: int, dice: random.Random) -> None:
        """Have the client submit so many tasks at once."""
        for mixed in (mixed_task(number, dice.randrange(1_000_000)) for number in range(count)):
            mixed.task.task_id = f"burst-{len(self.client.submitted)}"
            self.client.follow(mixed)

    async def open_tasks(self) -> list[str]:
        """The tasks that have not ended."""
        return [row["task_id"] for row in await self.sql(OPEN)]


@asynccontextmanager
async def make_world(counts: Mapping[str, int] | None = None, **env: str) -> AsyncIterator[World]:
    """Start everything; `env` holds for every process of the fleet."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskandgo-chaos-")))
        folder.chmod(0o755)
        rabbitmq = stack.enter_context(private_node())
        postgres = stack.enter_context(private_cluster())
        await migrate(postgres.url)
        connection = await asyncpg.connect(postgres.url)
        await start_audit(connection)
        await connection.close()
        async with (
            running_fleet(folder, rabbitmq.url, postgres.url, counts or SEVERAL, ENV | env) as fleet,
            Client(fleet.grpc_addresses) as client,
            listening(rabbitmq.url) as heard,
        ):
            yield World(folder, rabbitmq, postgres, fleet, client, heard)
