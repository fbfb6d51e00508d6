"""The two shapes of the product that every end-to-end test runs against."""

from collections.abc import Iterator

import pytest

from taskandgo.api import scheduler_pb2_grpc as api_grpc
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
