"""Publishes to RabbitMQ: kept messages with confirms, many in flight; the others without waiting.

Promises: a kept message is on the broker's disk once `kept` returns, and is never dropped in silence;
a message that need not be kept never holds its publisher up.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange, AbstractRobustConnection, HeadersType
from aio_pika.exceptions import PublishError

from taskandgo.broker.rabbitmq_errors import CONNECTION_FAILURES, away_when_failing
from taskandgo.broker.topology import DEAD_LETTER_EXCHANGE, EXCHANGE
from taskandgo.errors import UnroutableError
from taskandgo.telemetry.process_metrics import PROCESS
from taskandgo.words import Priority

MOST_IN_FLIGHT = 10_000
FLUSH_SECONDS = 1.0

log = structlog.get_logger()


class Publisher:
    """Two channels of one connection: one with confirms, one without."""

    def __init__(self, connection: AbstractRobustConnection, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._in_flight: set[asyncio.Task[None]] = set()
        self._kept: AbstractExchange
        self._dead_letters: AbstractExchange
        self._unkept: AbstractExchange

    async def open(self) -> None:
        """Open the channels; the exchanges are there already."""
        confirmed = await self._connection.channel(on_return_raises=True)
        self._kept = await confirmed.get_exchange(EXCHANGE, ensure=False)
        self._dead_letters = await confirmed.get_exchange(DEAD_LETTER_EXCHANGE, ensure=False)
        unconfirmed = await self._connection.channel(publisher_confirms=False)
        self._unkept = await unconfirmed.get_exchange(EXCHANGE, ensure=False)

    @property
    def connected(self) -> bool:
        """Whether a message would go out now."""
        return self._connection.connected.is_set() and not self._connection.is_closed

    @property
    def blocked(self) -> bool:
        """Whether the broker has asked us to publish nothing for now."""
        transport: Any = self._connection.transport
        if transport is None:
            return False
        # The client has no other word for it than that its `ready` does not return at once.
        ready = transport.connection.ready()
        try:
            ready.send(None)
        except StopIteration:
            return False
        finally:
            ready.close()
        return self.connected

    async def kept(self, body: bytes, key: str, priority: Priority, headers: Mapping[str, str]) -> None:
        """Publish and wait for the confirm."""
        await self._confirmed(self._kept, body, key, priority, dict(headers))

    async def dead_letter(self, body: bytes, headers: HeadersType) -> None:
        """Publish to the dead letters and wait for the confirm."""
        await self._confirmed(self._dead_letters, body, "", Priority.NORMAL, headers)

    async def unkept(self, body: bytes, key: str, priority: Priority) -> None:
        """Publish in the background, or drop when that would have to wait."""
        if not self.connected or len(self._in_flight) >= MOST_IN_FLIGHT:
            log.debug("message.dropped", routing_key=key)
            return
        task = asyncio.create_task(self._unconfirmed(body, key, priority))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        # A publisher in a loop must leave the loop its turn, or nothing of this is ever sent.
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Let what is in flight go out, but not for long."""
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=FLUSH_SECONDS)
        for task in list(self._in_flight):
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def _confirmed(
        self, exchange: AbstractExchange, body: bytes, key: str, priority: Priority, headers: HeadersType
    ) -> None:
        message = Message(
            body,
            headers=headers,
            delivery_mode=DeliveryMode.PERSISTENT,
            priority=priority,
            message_id=uuid4().hex,
        )
        published = time.monotonic()
        async with away_when_failing(self._timeout_seconds):
            await self._unblocked()
            try:
                await exchange.publish(message, key, mandatory=True)
            except PublishError as error:
                raise UnroutableError(f"no queue takes {key}") from error
        PROCESS.publish_confirm_seconds.observe(time.monotonic() - published)

    async def _unblocked(self) -> None:
        """Return once the broker takes messages: what it does not read now would go out later beside its repetition."""
        if transport := self._connection.transport:
            await transport.ready()

    async def _unconfirmed(self, body: bytes, key: str, priority: Priority) -> None:
        message = Message(body, delivery_mode=DeliveryMode.NOT_PERSISTENT, priority=priority)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._unkept.publish(message, key, mandatory=False)
        except CONNECTION_FAILURES as error:
            log.debug("message.dropped", routing_key=key, error=repr(error))
