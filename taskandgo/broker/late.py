"""A broker that may not be there yet: a service that can do without it starts at once, and has it when it answers.

Promises: while there is none, kept messages are refused with BrokerAwayError and others dropped, as when it is away
later; what was to be consumed and bound is, as soon as it is there; one that answers late and cannot be used is tried
again for as long as the service runs, and only one that answers in time and cannot be used ends it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import structlog

from taskandgo.broker.broker import Broker, Handler, Subscription
from taskandgo.broker.connect import open_broker
from taskandgo.broker.topology import ROUTES, Queue
from taskandgo.errors import BrokerAwayError
from taskandgo.messages import Message
from taskandgo.settings import BrokerSettings

AGAIN_SECONDS = 2.0

log = structlog.get_logger()


@asynccontextmanager
async def open_broker_late(settings: BrokerSettings, patience_seconds: float = 3.0) -> AsyncIterator["LateBroker"]:
    """A broker that is there after so many seconds at the latest if it can be reached at all; or later."""
    late, left = LateBroker(), asyncio.Event()
    opening = asyncio.get_running_loop().create_task(late.open(settings, left))
    try:
        await asyncio.wait([opening, arriving := asyncio.ensure_future(late.arrived.wait())], timeout=patience_seconds)
        arriving.cancel()
        if opening.done():
            await opening
        late.patient = True
        yield late
    finally:
        left.set()
        if not late.arrived.is_set():
            opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)


class LateBroker:
    """The broker, once there is one."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.patient = False
        self._broker: Broker | None = None
        self._on_return: list[Callable[[], None]] = []
        self._waiting: list[LateSubscription] = []

    async def open(self, settings: BrokerSettings, left: asyncio.Event) -> None:
        """Have the broker until `left`."""
        while True:
            try:
                return await self._have(settings, left)
            except Exception:
                if left.is_set() or not self.patient:
                    raise
                # Nobody waits for this any more, so nobody else would hear of it, or try again.
                log.exception("broker.unusable")
            await asyncio.sleep(AGAIN_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret

    async def _have(self, settings: BrokerSettings, left: asyncio.Event) -> None:
        async with open_broker(settings) as broker:
            # It may grow meanwhile; none is left out before all have begun, since the next broker would need them.
            for subscription in self._waiting:
                await subscription.begin(broker)
            self._waiting.clear()
            self._broker = broker
            for call in self._on_return:
                broker.on_return(call)
                call()
            self.arrived.set()
            await left.wait()
            self._broker = None

    @property
    def durable(self) -> bool:
        """What is opened late is a server of its own."""
        return self._broker is None or self._broker.durable

    @property
    def connected(self) -> bool:
        """Whether publishing would go out now."""
        return self._broker is not None and self._broker.connected

    @property
    def blocked(self) -> bool:
        """Whether the broker is connected, but takes no messages for now."""
        return self._broker is not None and self._broker.blocked

    def on_return(self, call: Callable[[], None]) -> None:
        """Call this each time that there is a connection again, the first time included."""
        self._on_return.append(call)
        if self._broker:
            self._broker.on_return(call)

    async def publish(self, message: Message) -> None:
        """Send a message by its route."""
        if self._broker or ROUTES[type(message)].kept:
            await self._there().publish(message)

    async def declare(self, queue: Queue) -> None:
        """Make sure the queue exists."""
        await self._there().declare(queue)

    async def consume(self, queue: Queue, handler: Handler, *, prefetch: int) -> Subscription:
        """Hand the queue's messages to the handler, from when there is a broker."""
        if self._broker:
            return await self._broker.consume(queue, handler, prefetch=prefetch)
        subscription = LateSubscription(queue, handler, prefetch)
        self._waiting.append(subscription)
        return subscription

    async def depth(self, queue: Queue) -> int:
        """How many messages wait in the queue."""
        return await self._there().depth(queue)

    def _there(self) -> Broker:
        if self._broker is None:
            raise BrokerAwayError("the broker has not answered yet")
        return self._broker


@dataclass(slots=True)
class LateSubscription:
    """A consumer that begins once there is a broker."""

    queue: Queue
    handler: Handler
    prefetch: int
    keys: set[str] = field(default_factory=set)
    begun: Subscription | None = None
    stopped: bool = False

    async def begin(self, broker: Broker) -> None:
        """There is a broker."""
        if self.stopped:
            return
        bound = self.keys.copy()
        queue = replace(self.queue, bindings=(*self.queue.bindings, *sorted(bound)))
        self.begun = begun = await broker.consume(queue, self.handler, prefetch=self.prefetch)
        # What was asked for meanwhile found nobody to ask.
        changed = (*map(begun.bind, self.keys - bound), *map(begun.unbind, bound - self.keys))
        await asyncio.gather(*changed)
        if self.stopped:
            await begun.stop()

    async def bind(self, routing_key: str) -> None:
        """Also take messages of this key."""
        self.keys.add(routing_key)
        if self.begun:
            await self.begun.bind(routing_key)

    async def unbind(self, routing_key: str) -> None:
        """No longer take messages of this key."""
        self.keys.discard(routing_key)
        if self.begun:
            await self.begun.unbind(routing_key)

    async def stop(self) -> None:
        """Take no more messages."""
        self.stopped = True
        if self.begun:
            await self.begun.stop()

    async def abandon(self) -> None:
        """Take no more, and give back what was taken."""
        self.stopped = True
        if self.begun:
            await self.begun.abandon()
