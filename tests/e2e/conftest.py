"""The shapes of the product that end-to-end tests run against, and the command line over one of them."""

from collections.abc import AsyncIterator, Iterator

import pytest

from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.command_line import CommandLine, up
from tests.e2e.stack import INSTALLATION, LEVEL, SHAPES, Stack, running
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

#: What a test asks for that can run against a product that runs already.
OF_A_RUNNING_ONE = {"stack", "client", "cli", "server", "large"}

#: What a test asks for that starts services itself.
OF_ONE_OF_ITS_OWN = {"rabbitmq_url", "postgres_url"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, with a word, what cannot be asked of the product that runs already."""
    left = [item for item in items if INSTALLATION and not _can_be_asked(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def _can_be_asked(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    asked = OF_A_RUNNING_ONE & fixtures and not OF_ONE_OF_ITS_OWN & fixtures
    return bool(asked) and (LEVEL == "strict" or item.get_closest_marker("strict") is None)


@pytest.fixture(scope="session", params=SHAPES)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product: embedded and as four processes, or one that runs already."""
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
    """The gRPC address of a `taskandgo up`, or of what runs already."""
    if INSTALLATION:
        yield f"{INSTALLATION}:50051"
        return
    async with up(tmp_path_factory.mktemp("up") / "tasks.db") as address:
        yield address


@pytest.fixture
def cli(server: str) -> CommandLine:
    """The command line, told of that server."""
    return CommandLine(server)
