"""Servers every test may ask for: private nodes, started once a session on free ports and stopped after it."""

from collections.abc import Iterator

import pytest

from tests.servers.postgres import private_postgres
from tests.servers.rabbitmq import private_rabbitmq


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """The AMQP address of a RabbitMQ that belongs to this test session."""
    with private_rabbitmq() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of an empty database on a PostgreSQL that belongs to this test session."""
    with private_postgres() as url:
        yield url
