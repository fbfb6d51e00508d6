"""The broker on RabbitMQ: opens its connections, and puts the parts in the other rabbitmq files together.

Promises: those of broker.py; publishing and consuming have connections of their own, because a broker short
of memory or disk stops reading from publishers; both come back by themselves with everything on them.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aio_pika import connect
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection

from taskandgo.broker.broker import Handler, Subscription
from taskandgo.broker.message_spans import RABBITMQ, MessageSpans
from taskandgo.broker.rabbitmq_connection import open_connection
from taskandgo.broker.rabbitmq_consumer import RabbitmqSubscription
from taskandgo.broker.rabbitmq_errors import away_when_failing
from taskandgo.broker.rabbitmq_publisher import Publisher
from taskandgo.broker.rabbitmq_queues import Declarer, declare_on, queue_type, server_version
from taskandgo.broker.topology import ROUTES, SHARED_QUEUES, Queue, priority_of, routing_key
from taskandgo.messages import Message, encode
from taskandgo.settings import BrokerSettings

log = structlog.get_logger()


@asynccontextmanager
async def open_rabbitmq(settings: BrokerSettings) -> AsyncIterator["RabbitmqBroker"]:
    """A broker with the shared queues declared; tries until RabbitMQ can be reached."""
    publishing = await open_connection(settings)
    try:
        consuming = await open_connection(settings)
        try:
            broker = RabbitmqBroker(publishing, consuming, settings)
            await broker.open()
            try:
                yield broker
            finally:
                await broker.close()
        finally:
            await consuming.close()
    finally:
        await publishing.close()


async def rabbitmq_version(settings: BrokerSettings) -> str:
    """The server's version; BrokerAwayError if it cannot be reached now."""
    timeout = settings.broker_publish_timeout_seconds
    async with away_when_failing(timeout), await connect(settings.broker_url, timeout=timeout) as connection:
        return server_version(connection)


class RabbitmqBroker:
    """A publishing and a consuming connection."""

    def __init__(
        self,
        publishing: AbstractRobustConnection,
        consuming: AbstractRobustConnection,
        settings: BrokerSettings,
    ) -> None:
        self._publishing, self._consuming = publishing, consuming
        self._on_return: list[Callable[[], None]] = []
        for connection in (publishing, consuming):
            connection.reconnect_callbacks.add(self._returned)
        self._timeout_seconds = settings.broker_publish_timeout_seconds
        self._durable_type = queue_type(settings.broker_queue_type, server_version(consuming))
        self._publisher = Publisher(publishing, self._timeout_seconds)
        self._spans = MessageSpans(RABBITMQ, settings.broker_url)
        self._subscriptions: set[RabbitmqSubscription] = set()
        self._declarer: Declarer

    async def open(self) -> None:
        """Declare the exchanges and shared queues."""
        self._declarer = Declarer(self._consuming, await self._channel(), self._durable_type)
        await self._declarer.exchanges()
        for queue in SHARED_QUEUES:
            await self._declarer.queue(queue)
        await self._publisher.open()

    async def close(self) -> None:
        """Abandon what still consumes, and let what is in flight go out."""
        for subscription in self._subscriptions:
            await subscription.abandon()
        await self._publisher.close()

    @property
    def durable(self) -> bool:
        """RabbitMQ keeps waiting messages on disk."""
        return True

    @property
    def connected(self) -> bool:
        """Whether publishing would go out now."""
        return self._publisher.connected

    def on_return(self, call: Callable[[], None]) -> None:
        """Call this each time that a connection was lost and both are there again."""
        self._on_return.append(call)

    @property
    def blocked(self) -> bool:
        """Whether RabbitMQ is short of memory or disk and takes nothing from us."""
        return self._publisher.blocked

    async def publish(self, message: Message) -> None:
        """Send a message by its route."""
        key, priority = routing_key(message), priority_of(message)
        if not ROUTES[type(message)].kept:
            return await self._publisher.unkept(encode(message), key, priority)
        with self._spans.publishing(message, key) as headers:
            return await self._publisher.kept(encode(message), key, priority, headers)

    async def declare(self, queue: Queue) -> None:
        """Make sure the queue exists."""
        async with away_when_failing(self._timeout_seconds):
            await self._declarer.queue(queue)

    async def consume(self, queue: Queue, handler: Handler, *, prefetch: int) -> Subscription:
        """Hand the queue's messages to the handler, on a channel of the subscription's own."""
        subscription = RabbitmqSubscription(queue, handler, self._publisher, self._spans, self._timeout_seconds)
        async with away_when_failing(self._timeout_seconds):
            await self._declarer.check(queue)
            channel = await self._channel()
            await channel.set_qos(prefetch_count=prefetch)
            await subscription.start(channel, await declare_on(channel, queue, self._durable_type))
        self._subscriptions = {known for known in self._subscriptions if not known.ended} | {subscription}
        return subscription

    async def depth(self, queue: Queue) -> int:
        """How many messages wait in the queue."""
        async with away_when_failing(self._timeout_seconds):
            return await self._declarer.depth(queue)

    def _returned(self, *_: object) -> None:
        if self._publishing.connected.is_set() and self._consuming.connected.is_set():
            log.info("broker.returned")
            for call in self._on_return:
                call()

    async def _channel(self) -> AbstractRobustChannel:
        channel: Any = await self._consuming.channel(publisher_confirms=False)
        return channel  # type: ignore[no-any-return]
