"""What services ask of a broker. Two real ones stand behind it: rabbitmq.py and memory.py, under one test suite.

Promises of every broker: a kept message is held by the broker once `publish` returns; a delivery is
acked, dead-lettered or given back exactly as its handler says; a free place goes to the most urgent
message waiting; what was delivered to a consumer that went away is redelivered, marked as such.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from taskandgo.broker.topology import Queue
from taskandgo.messages import Message


@dataclass(frozen=True, slots=True)
class Ack:
    """The message is dealt with."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The message can never be dealt with: dead-letter it, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """Somebody else shall deal with the message, now."""


Disposition = Ack | Reject | Requeue


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the broker handed it over; `reason` is set on dead letters only, `headers` may hold its trace."""

    body: bytes
    routing_key: str
    redelivered: bool
    queue: str = ""
    reason: str = ""
    headers: Mapping[str, object] = field(default_factory=dict)


Handler = Callable[[Delivery], Awaitable[Disposition]]


class Subscription(Protocol):
    """A running consumer."""

    async def bind(self, routing_key: str) -> None:
        """Also take messages of this key; they arrive from the moment this returns."""
        ...

    async def unbind(self, routing_key: str) -> None:
        """No longer take messages of this key."""
        ...

    async def stop(self) -> None:
        """Take no more messages; return when every handler under way has ended and its delivery is settled."""
        ...

    async def abandon(self) -> None:
        """Take no more, cancel the handlers under way; the broker redelivers what they held."""
        ...


class Broker(Protocol):
    """A connection to a broker, with the shared queues declared."""

    @property
    def durable(self) -> bool:
        """Whether waiting messages outlive this process."""
        ...

    @property
    def connected(self) -> bool:
        """Whether publishing would go out now."""
        ...

    def on_return(self, call: Callable[[], None]) -> None:
        """Call this each time that the connection was lost and is back, with everything that was on it."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether the broker is connected, but takes no messages for now."""
        ...

    async def publish(self, message: Message) -> None:
        """Send a message by its route.

        Kept messages: returns when the broker has confirmed; BrokerAwayError when it did not in time
        (the message may still arrive), UnroutableError when no queue takes it. Many calls at once share
        a flight of confirms. Other messages: never waits for the broker, never raises, may be lost.
        """
        ...

    async def declare(self, queue: Queue) -> None:
        """Make sure the queue exists; QueueMismatchError when it does with other arguments."""
        ...

    async def consume(self, queue: Queue, handler: Handler, *, prefetch: int) -> Subscription:
        """Declare the queue and hand its messages to the handler, at most `prefetch` at a time.

        The handler runs in a task of its own that outlives a lost connection; what it then returns for
        a delivery of that connection is dropped, since the broker redelivers. A handler that raises has
        its delivery requeued after a pause.
        """
        ...

    async def depth(self, queue: Queue) -> int:
        """How many messages wait in the queue, those under way not counted."""
        ...
