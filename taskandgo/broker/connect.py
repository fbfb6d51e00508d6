"""Opens the broker that the settings name.

Promises: leaving the context closes every connection and ends every handler; what they held is redelivered.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from taskandgo.broker.broker import Broker
from taskandgo.broker.memory import open_memory
from taskandgo.settings import BrokerSettings
from taskandgo.telemetry.process_metrics import PROCESS

MEMORY_SCHEME = "memory:"


async def broker_version(settings: BrokerSettings) -> str:
    """Which broker answers, and its version; BrokerAwayError if none does, after one try."""
    if settings.broker_url.startswith(MEMORY_SCHEME):
        return "in memory"
    from taskandgo.broker.rabbitmq import rabbitmq_version  # noqa: PLC0415 - as below

    return f"RabbitMQ {await rabbitmq_version(settings)}"


@asynccontextmanager
async def open_broker(settings: BrokerSettings) -> AsyncIterator[Broker]:
    """A broker with the shared queues declared; waits until the broker can be reached."""
    if settings.broker_url.startswith(MEMORY_SCHEME):
        async with open_memory() as memory:
            with _shown(memory):
                yield memory
        return
    # Only here, so that the embedded default starts without loading an AMQP client.
    from taskandgo.broker.rabbitmq import open_rabbitmq  # noqa: PLC0415

    async with open_rabbitmq(settings) as rabbitmq:
        with _shown(rabbitmq):
            yield rabbitmq


@contextmanager
def _shown(broker: Broker) -> Iterator[None]:
    PROCESS.broker_connected.set_function(lambda: broker.connected)
    PROCESS.broker_blocked.set_function(lambda: broker.blocked)
    try:
        yield
    finally:
        for gauge in (PROCESS.broker_connected, PROCESS.broker_blocked):
            gauge.set_function(lambda: False)
