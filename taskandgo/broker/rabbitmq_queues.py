"""Declares the exchanges and queues of topology.py on RabbitMQ, with the arguments its version calls for.

Promises: the arguments follow from the queue and the broker's version alone, so that every process declares
the same; a queue that exists with others raises QueueMismatchError with what to do.
"""

from dataclasses import dataclass
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection, AbstractQueue, AbstractRobustChannel, AbstractRobustConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from taskandgo.broker.topology import DEAD_LETTER_EXCHANGE, EXCHANGE, MAX_PRIORITY, Queue
from taskandgo.errors import QueueMismatchError

#: The first version whose quorum queues give out messages strictly by priority.
STRICT_QUORUM_VERSION = (4, 3)
DAY_MILLISECONDS = 86_400_000
LISTENER_EXPIRES_MILLISECONDS = 60_000
DELIVERY_LIMIT = 100


def queue_type(setting: str, server_version: str) -> str:
    """The type of the durable queues: as set, or quorum where that keeps the order of priorities."""
    if setting != "auto":
        return setting
    numbers = tuple(int(part) for part in server_version.split(".")[:2] if part.isdigit())
    return "quorum" if numbers >= STRICT_QUORUM_VERSION else "classic"


def server_version(connection: AbstractConnection) -> str:
    """What the broker said of itself when the connection opened."""
    transport: Any = connection.transport
    version = transport.connection.server_properties.get("version", "")
    return version.decode() if isinstance(version, bytes) else str(version)


def arguments(queue: Queue, durable_type: str) -> dict[str, Any]:
    """The queue's arguments."""
    quorum = durable_type == "quorum" and not queue.listener
    found: dict[str, Any] = {"x-queue-type": "quorum" if quorum else "classic"}
    if quorum:
        found |= {"x-delivery-limit": DELIVERY_LIMIT, "x-consumer-timeout": DAY_MILLISECONDS}
    elif queue.prioritised:
        found["x-max-priority"] = MAX_PRIORITY
    if queue.listener:
        found["x-expires"] = LISTENER_EXPIRES_MILLISECONDS
    if queue.max_length is not None:
        # What overflows may be lost, and dead-lettering it would bury the letters that matter.
        found |= {"x-max-length": queue.max_length, "x-overflow": "drop-head"}
    elif not queue.dead_letters and not queue.listener:
        found["x-dead-letter-exchange"] = DEAD_LETTER_EXCHANGE
    return found


async def declare_on(channel: AbstractRobustChannel, queue: Queue, durable_type: str) -> AbstractQueue:
    """Declare the queue and its bindings on this channel, which restores them after a lost connection."""
    declared = await channel.declare_queue(queue.name, durable=True, arguments=arguments(queue, durable_type))
    if queue.dead_letters:
        await declared.bind(DEAD_LETTER_EXCHANGE, routing_key="")
    for pattern in queue.bindings:
        await declared.bind(EXCHANGE, routing_key=pattern)
    return declared


@dataclass(frozen=True, slots=True)
class Declarer:
    """Declares queues, and keeps them declared on every new connection."""

    connection: AbstractRobustConnection
    channel: AbstractRobustChannel
    durable_type: str

    async def exchanges(self) -> None:
        """Declare both exchanges."""
        await self.channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        await self.channel.declare_exchange(DEAD_LETTER_EXCHANGE, ExchangeType.FANOUT, durable=True)

    async def queue(self, queue: Queue) -> None:
        """Declare a queue."""
        await self.check(queue)
        if not queue.listener:
            await declare_on(self.channel, queue, self.durable_type)

    async def check(self, queue: Queue) -> None:
        """Declare on a channel of its own, because a mismatch closes it."""
        channel = await self._fresh_channel()
        try:
            await declare_on(channel, queue, self.durable_type)
        except ChannelPreconditionFailed as error:
            raise QueueMismatchError(
                f"queue {queue.name} exists on the broker with other arguments than this version declares "
                f"({error}); delete the queue once it is empty, or set BROKER_QUEUE_TYPE to the type it has"
            ) from error
        finally:
            await channel.close()

    async def depth(self, queue: Queue) -> int:
        """How many messages wait in the queue; 0 when there is none."""
        channel = await self._fresh_channel()
        try:
            found = await channel.declare_queue(queue.name, passive=True, robust=False)
        except ChannelNotFoundEntity:
            return 0
        finally:
            await channel.close()
        return found.declaration_result.message_count or 0

    async def _fresh_channel(self) -> AbstractRobustChannel:
        channel: Any = await self.connection.channel(publisher_confirms=False)
        return channel  # type: ignore[no-any-return]
