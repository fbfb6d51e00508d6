"""The two shapes of the product that end-to-end tests run against, and the command line over one of them."""

from collections.abc import AsyncIterator, Iterator

import pytest

from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.command_line import CommandLine, up
from tests.e2e.stack import Stack, running
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost


@pytest.fixture(scope="session", params=["up", "services"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product, embedded and as four processes."""
    env: dict[str, str] = {}
    if request.param == "services":
        # What other tests left behind would run here too.
        env["BROKER_URL"] = fresh_vhost(request.getfixturevalue("rabbitmq_url"))
        env["STORE_URL"] = fresh_database(request.getfixturevalue("postgres_url"))
    with running(request.param, tmp_path_factory.mktemp(request.param), env) as started:
        yield started


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[api_grpc.SchedulerStub]:
    """A client of it."""
    with stack.client() as connected:
        yield connected


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The gRPC address of a `taskandgo up`."""
    async with up(tmp_path_factory.mktemp("up") / "tasks.db") as address:
        yield address


@pytest.fixture
def cli(server: str) -> CommandLine:
    """The command line, told of that server."""
    return CommandLine(server)
