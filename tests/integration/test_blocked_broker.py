"""A RabbitMQ that is short of memory takes no messages: what is published again and again then goes out once."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from taskandgo.broker.connect import open_broker
from taskandgo.broker.topology import DISPATCHER_TASK_SUBMITTED
from taskandgo.errors import BrokerAwayError
from taskandgo.messages import TaskSubmitted
from taskandgo.settings import BrokerSettings, load
from taskandgo.task import TaskSpec
from taskandgo.words import Priority
from tests.servers.rabbitmq import NODES, fresh_vhost

REPEATS = 6


@pytest.fixture
def alarm(rabbitmq_url: str) -> Iterator[None]:
    node = NODES[rabbitmq_url]
    node.control("set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        node.control("set_vm_memory_high_watermark", "0.4")


async def test_what_is_repeated_while_the_broker_is_short_of_memory_goes_out_once(
    rabbitmq_url: str, request: pytest.FixtureRequest
) -> None:
    settings = load(BrokerSettings, broker_url=fresh_vhost(rabbitmq_url), broker_publish_timeout_seconds=0.5)
    spec = TaskSpec(task_id="a", priority=Priority.NORMAL, language="python", code="1", queued_at=datetime.now(UTC))
    async with open_broker(settings) as broker:
        await asyncio.to_thread(request.getfixturevalue, "alarm")
        for _ in range(REPEATS):
            with pytest.raises(BrokerAwayError):
                await broker.publish(TaskSubmitted(task=spec))
        await asyncio.to_thread(NODES[rabbitmq_url].control, "set_vm_memory_high_watermark", "0.4")
        async with asyncio.timeout(20):
            while True:
                try:
                    await broker.publish(TaskSubmitted(task=spec))
                except BrokerAwayError:
                    continue
                break
        # The first, which told the broker to say that it is blocked, and the last.
        assert await broker.depth(DISPATCHER_TASK_SUBMITTED) == 2
