"""What every broker promises, asked of both: the memory broker, and a private RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition, Reject, Requeue
from taskandgo.broker.connect import open_broker
from taskandgo.broker.handling import decoded
from taskandgo.broker.rabbitmq_queues import queue_type
from taskandgo.broker.topology import DEAD_LETTER, Queue, listener, runner_chunk_ready
from taskandgo.errors import AwayError, BrokerAwayError, QueueMismatchError, UnroutableError
from taskandgo.messages import ChunkOutput, ChunkReady, Message, TaskSubmitted, decode
from taskandgo.settings import BrokerSettings
from taskandgo.words import Priority, Stream
from tests.servers.rabbitmq import NODES

Take = Callable[[Delivery], Awaitable[Disposition]]


@pytest.fixture(params=["memory", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """Each broker in turn."""
    url = "memory://" if request.param == "memory" else request.getfixturevalue("rabbitmq_url")
    async with open_broker(BrokerSettings(broker_url=url)) as opened:
        yield opened


@pytest.fixture
async def rabbitmq(rabbitmq_url: str) -> AsyncIterator[Broker]:
    """RabbitMQ with a short patience."""
    settings = BrokerSettings(broker_url=rabbitmq_url, broker_publish_timeout_seconds=2)
    async with open_broker(settings) as opened:
        yield opened


@pytest.fixture
def queue() -> Queue:
    """A prioritised queue that nobody else uses."""
    return runner_chunk_ready(uuid4().hex)


def chunk(queue: Queue, index: int = 0, priority: Priority = Priority.NORMAL) -> ChunkReady:
    """A message for the queue."""
    return ChunkReady(
        task_id="t",
        chunk_index=index,
        chunk_count=1,
        attempt=1,
        priority=priority,
        pool=queue.name.removeprefix("runner.chunk-ready."),
        language="python",
        code="",
    )


def output(task_id: str, offset: int = 0) -> ChunkOutput:
    """A message that need not be kept."""
    return ChunkOutput(task_id=task_id, chunk_index=0, attempt=1, stream=Stream.STDOUT, offset=offset, data=b"x")


class Collected:
    """A handler that keeps what it got and can be waited for."""

    def __init__(self, *answers: Disposition) -> None:
        self.deliveries: list[Delivery] = []
        self._answers = list(answers)
        self._came = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> Disposition:
        async with self._came:
            self.deliveries.append(delivery)
            self._came.notify_all()
        return self._answers.pop(0) if self._answers else Ack()

    @property
    def messages(self) -> list[Message]:
        return [decode(delivery.body) for delivery in self.deliveries]

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(30), self._came:
            await self._came.wait_for(lambda: len(self.deliveries) >= count)


def order(collected: Collected) -> list[int]:
    """The chunk indexes in the order they came."""
    return [message.chunk_index for message in collected.messages if isinstance(message, ChunkReady)]


async def dead_letter_of(broker: Broker, body: bytes) -> Delivery:
    """The dead letter with this body."""
    found: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

    async def look(delivery: Delivery) -> Disposition:
        if delivery.body == body and not found.done():
            found.set_result(delivery)
        return Ack()

    subscription = await broker.consume(DEAD_LETTER, look, prefetch=10)
    async with asyncio.timeout(10):
        letter = await found
    await subscription.stop()
    return letter


async def test_a_backlog_comes_most_urgent_first_and_in_order_within_a_level(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    priorities = [Priority.LOW, Priority.HIGH, Priority.NORMAL, Priority.CRITICAL] * 3
    for index, priority in enumerate(priorities):
        await broker.publish(chunk(queue, index, priority))
    collected = Collected()
    subscription = await broker.consume(queue, collected, prefetch=1)
    await collected.wait_for(len(priorities))
    await subscription.stop()
    assert order(collected) == [3, 7, 11, 1, 5, 9, 2, 6, 10, 0, 4, 8]


async def test_no_more_than_prefetch_are_under_way_and_stop_waits_for_them(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    await asyncio.gather(*(broker.publish(chunk(queue, index)) for index in range(5)))
    go_on, collected, ended = asyncio.Event(), Collected(), []

    async def hold(delivery: Delivery) -> Disposition:
        await collected(delivery)
        await go_on.wait()
        ended.append(delivery)
        return Ack()

    subscription = await broker.consume(queue, hold, prefetch=2)
    await collected.wait_for(2)
    assert await broker.depth(queue) == 3
    stopping = asyncio.create_task(subscription.stop())
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    assert len(ended) == len(collected.deliveries)
    assert await broker.depth(queue) == 5 - len(ended)


async def test_a_rejected_message_is_a_dead_letter_with_its_reason(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    await broker.publish(chunk(queue))
    collected = Collected(Reject("too odd"))
    subscription = await broker.consume(queue, collected, prefetch=1)
    await collected.wait_for(1)
    await subscription.stop()
    letter = await dead_letter_of(broker, collected.deliveries[0].body)
    assert letter.reason == "too odd"
    assert letter.queue == queue.name
    assert letter.routing_key == queue.bindings[0]


async def test_a_requeued_message_comes_again_marked_as_redelivered(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    await broker.publish(chunk(queue))
    collected = Collected(Requeue())
    subscription = await broker.consume(queue, collected, prefetch=1)
    await collected.wait_for(2)
    await subscription.stop()
    assert [delivery.redelivered for delivery in collected.deliveries] == [False, True]


async def test_what_an_abandoned_consumer_held_is_redelivered(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    await broker.publish(chunk(queue))
    started = asyncio.Event()

    async def never_ends(_: Delivery) -> Disposition:
        started.set()
        await asyncio.Event().wait()
        return Ack()

    dying = await broker.consume(queue, never_ends, prefetch=1)
    await started.wait()
    await dying.abandon()
    collected = Collected()
    subscription = await broker.consume(queue, collected, prefetch=1)
    await collected.wait_for(1)
    await subscription.stop()
    assert collected.deliveries[0].redelivered


async def test_a_kept_message_without_a_queue_is_refused(broker: Broker, queue: Queue) -> None:
    with pytest.raises(UnroutableError):
        await broker.publish(chunk(queue))


async def test_any_other_message_without_a_queue_is_dropped_in_silence(broker: Broker) -> None:
    await broker.publish(output("nobody"))


async def test_a_message_of_another_kind_is_dead_lettered(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    message = chunk(queue)
    await broker.publish(message)
    collected = Collected()

    async def submitted(_: TaskSubmitted, delivery: Delivery) -> Disposition:
        return await collected(delivery)

    subscription = await broker.consume(queue, decoded(submitted, TaskSubmitted), prefetch=1)
    raw = Collected()
    letters = await broker.consume(DEAD_LETTER, raw, prefetch=1)
    await raw.wait_for(1)
    await subscription.stop()
    await letters.stop()
    assert "TaskSubmitted" in raw.deliveries[-1].reason
    assert not collected.deliveries


async def test_bytes_that_are_no_message_are_rejected_by_decoded() -> None:
    async def never(_: TaskSubmitted, __: Delivery) -> Disposition:
        pytest.fail("called with something undecodable")

    answer = await decoded(never, TaskSubmitted)(Delivery(b"\xff", "task.submitted", redelivered=False))
    assert isinstance(answer, Reject)


async def test_a_handler_that_fails_twice_has_its_message_dead_lettered(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    await broker.publish(chunk(queue))
    collected = Collected()

    async def fails(delivery: Delivery) -> Disposition:
        await collected(delivery)
        raise ValueError("broken")

    subscription = await broker.consume(queue, fails, prefetch=1)
    letter = asyncio.create_task(dead_letter_of(broker, (await first(collected)).body))
    assert "broken" in (await letter).reason
    await subscription.stop()
    assert len(collected.deliveries) == 2


async def first(collected: Collected) -> Delivery:
    """The first delivery, once it came."""
    await collected.wait_for(1)
    return collected.deliveries[0]


async def test_a_handler_whose_store_is_away_gets_the_message_again_and_again(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    await broker.publish(chunk(queue))
    collected = Collected()

    async def away_twice(delivery: Delivery) -> Disposition:
        await collected(delivery)
        if len(collected.deliveries) < 3:
            raise AwayError
        return Ack()

    subscription = await broker.consume(queue, away_twice, prefetch=1)
    await collected.wait_for(3)
    await subscription.stop()
    assert await broker.depth(queue) == 0


async def test_a_listener_hears_what_it_is_bound_to_and_nothing_else(broker: Broker) -> None:
    collected = Collected()
    one, two = uuid4().hex, uuid4().hex
    subscription = await broker.consume(listener(f"test.{uuid4().hex}"), collected, prefetch=10)
    await subscription.bind(f"chunk.output.*.{one}")
    await broker.publish(output(two))
    await broker.publish(output(one, 1))
    await collected.wait_for(1)
    await subscription.unbind(f"chunk.output.*.{one}")
    await subscription.bind(f"chunk.output.*.{two}")
    await broker.publish(output(one, 2))
    await broker.publish(output(two, 3))
    await collected.wait_for(2)
    await subscription.stop()
    assert [message.offset for message in collected.messages if isinstance(message, ChunkOutput)] == [1, 3]


async def test_a_bounded_queue_drops_the_oldest(broker: Broker) -> None:
    task_id = uuid4().hex
    bounded = Queue(f"test.{task_id}", (f"chunk.output.*.{task_id}",), max_length=2)
    await broker.declare(bounded)
    for offset in range(4):
        await broker.publish(output(task_id, offset))
    collected = Collected()
    subscription = await broker.consume(bounded, collected, prefetch=1)
    await collected.wait_for(2)
    await subscription.stop()
    assert isinstance(last := collected.messages[-1], ChunkOutput)
    assert last.offset == 3


async def test_two_thousand_messages_published_at_once_all_arrive(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    await asyncio.gather(*(broker.publish(chunk(queue, index)) for index in range(2000)))
    collected = Collected()
    subscription = await broker.consume(queue, collected, prefetch=100)
    await collected.wait_for(2000)
    await subscription.stop()
    assert set(order(collected)) == set(range(2000))


async def test_a_queue_with_other_arguments_is_refused_with_advice(broker: Broker, queue: Queue) -> None:
    await broker.declare(queue)
    with pytest.raises(QueueMismatchError, match=queue.name):
        await broker.declare(Queue(queue.name, queue.bindings, max_length=1))
    assert broker.connected


async def test_consuming_and_publishing_go_on_after_every_connection_was_cut(
    rabbitmq: Broker, rabbitmq_url: str, queue: Queue
) -> None:
    collected, heard, task_id = Collected(), Collected(), uuid4().hex
    work = await rabbitmq.consume(queue, collected, prefetch=1)
    ear = await rabbitmq.consume(listener(f"test.{task_id}"), heard, prefetch=1)
    await ear.bind(f"chunk.output.*.{task_id}")
    node = NODES[rabbitmq_url]
    await asyncio.to_thread(node.control, "close_all_connections", "a test cuts them")
    async with asyncio.timeout(20):
        await _publish_until_confirmed(rabbitmq, chunk(queue, 7))
    await collected.wait_for(1)
    while not heard.deliveries:
        await rabbitmq.publish(output(task_id))
        await asyncio.sleep(0.05)
    assert 7 in order(collected)
    await work.stop()
    await ear.stop()


async def test_a_handler_outlives_the_connection_its_delivery_came_on(
    rabbitmq: Broker, rabbitmq_url: str, queue: Queue
) -> None:
    collected, go_on, ended = Collected(), asyncio.Event(), []

    async def hold(delivery: Delivery) -> Disposition:
        await collected(delivery)
        await go_on.wait()
        ended.append(delivery)
        return Ack()

    work = await rabbitmq.consume(queue, hold, prefetch=1)
    await rabbitmq.publish(chunk(queue))
    await collected.wait_for(1)
    await asyncio.to_thread(NODES[rabbitmq_url].control, "close_all_connections", "a test cuts them")
    await collected.wait_for(2)
    go_on.set()
    await work.stop()
    assert [delivery.redelivered for delivery in ended] == [False, True]
    assert await rabbitmq.depth(queue) == 0


async def _publish_until_confirmed(broker: Broker, message: Message) -> None:
    while True:
        try:
            return await broker.publish(message)
        except BrokerAwayError:
            await asyncio.sleep(0.1)


async def _depth_once_back(broker: Broker, queue: Queue) -> int:
    while True:
        try:
            return await broker.depth(queue)
        except BrokerAwayError:
            await asyncio.sleep(0.1)


async def test_a_broker_that_does_not_confirm_is_away(rabbitmq: Broker, rabbitmq_url: str, queue: Queue) -> None:
    await rabbitmq.declare(queue)
    node = NODES[rabbitmq_url]
    await asyncio.to_thread(node.control, "stop_app")
    try:
        began = datetime.now(UTC)
        with pytest.raises(BrokerAwayError):
            await rabbitmq.publish(chunk(queue))
        await rabbitmq.publish(output("nobody"))
        assert (datetime.now(UTC) - began).total_seconds() < 5
        assert not rabbitmq.connected
    finally:
        await asyncio.to_thread(node.control, "start_app")
    async with asyncio.timeout(30):
        await _publish_until_confirmed(rabbitmq, chunk(queue))
        # Its other connection comes back in its own time.
        assert await _depth_once_back(rabbitmq, queue) >= 1


async def test_quorum_queues_carry_messages_where_they_are_asked_for(rabbitmq_url: str, queue: Queue) -> None:
    node = NODES[rabbitmq_url]
    await asyncio.to_thread(node.control, "add_vhost", "quorum")
    await asyncio.to_thread(node.control, "set_permissions", "-p", "quorum", "guest", ".*", ".*", ".*")
    settings = BrokerSettings(broker_url=f"{rabbitmq_url}quorum", broker_queue_type="quorum")
    async with open_broker(settings) as broker:
        await broker.declare(queue)
        await broker.publish(chunk(queue, 5))
        collected = Collected()
        subscription = await broker.consume(queue, collected, prefetch=1)
        await collected.wait_for(1)
        await subscription.stop()
        assert order(collected) == [5]


@pytest.mark.parametrize(
    ("setting", "version", "expected"),
    [
        ("auto", "3.10.8", "classic"),
        ("auto", "4.0.5", "classic"),
        ("auto", "4.3.0", "quorum"),
        ("auto", "5.0.0", "quorum"),
        ("classic", "4.3.6", "classic"),
        ("quorum", "4.0.5", "quorum"),
    ],
)
def test_the_queue_type_follows_the_version_unless_set(setting: str, version: str, expected: str) -> None:
    assert queue_type(setting, version) == expected
