"""The broker inside one process: RabbitMQ's routes and order without a server, for `taskandgo up`.

Promises: those of broker.py; messages travel encoded, so that nothing depends on sharing objects. What
waits here ends with the process, which is why `durable` is False.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from taskandgo.broker.broker import Ack, Delivery, Disposition, Handler, Reject, Requeue, Subscription
from taskandgo.broker.handling import Handling
from taskandgo.broker.memory_queue import Consumer, Envelope, MemoryQueue
from taskandgo.broker.message_spans import MEMORY, NO_HEADERS, MessageSpans
from taskandgo.broker.topology import ROUTES, SHARED_QUEUES, Queue, priority_of, routing_key
from taskandgo.errors import QueueMismatchError, UnroutableError
from taskandgo.messages import Message, encode
from taskandgo.words import Priority

SPANS = MessageSpans(MEMORY)


@asynccontextmanager
async def open_memory() -> AsyncIterator["MemoryBroker"]:
    """A memory broker; leaving cancels every handler still under way."""
    broker = MemoryBroker()
    try:
        yield broker
    finally:
        await broker.close()


class MemoryBroker:
    """Routes messages between the queues of this process."""

    def __init__(self) -> None:
        self._queues: dict[str, MemoryQueue] = {}
        self.subscriptions: set[MemorySubscription] = set()
        for queue in SHARED_QUEUES:
            self._ensure(queue)

    @property
    def durable(self) -> bool:
        """Nothing here outlives the process."""
        return False

    @property
    def connected(self) -> bool:
        """A process can always reach itself."""
        return True

    def on_return(self, call: Callable[[], None]) -> None:
        """Never: what is in this process is never lost to it."""

    @property
    def blocked(self) -> bool:
        """A process never keeps itself from publishing."""
        return False

    async def publish(self, message: Message) -> None:
        """Put the message into every queue bound to its key."""
        key = routing_key(message)
        takers = [queue for queue in self._queues.values() if queue.takes(key)]
        if not takers and ROUTES[type(message)].kept:
            raise UnroutableError(f"no queue takes {key}")
        traced = SPANS.publishing(message, key) if ROUTES[type(message)].kept else NO_HEADERS
        with traced as headers:
            envelope = Envelope(encode(message), key, priority_of(message), headers=headers)
            for queue in takers:
                queue.put(envelope)
        # A publisher in a loop must leave handlers their turn, as it does when it waits for RabbitMQ.
        await asyncio.sleep(0)

    async def declare(self, queue: Queue) -> None:
        """Make sure the queue exists."""
        self._ensure(queue)

    async def consume(self, queue: Queue, handler: Handler, *, prefetch: int) -> Subscription:
        """Hand the queue's messages to the handler."""
        subscription = MemorySubscription(self, self._ensure(queue), handler, prefetch)
        self.subscriptions.add(subscription)
        return subscription

    async def depth(self, queue: Queue) -> int:
        """How many messages wait."""
        return len(self._queues[queue.name]) if queue.name in self._queues else 0

    async def close(self) -> None:
        """Abandon every subscription."""
        for subscription in list(self.subscriptions):
            await subscription.abandon()

    def dead_letter(self, envelope: Envelope, reason: str, queue_name: str) -> None:
        """Keep a message that nobody can deal with."""
        letter = replace(envelope, priority=Priority.NORMAL, redelivered=False, reason=reason, rejected_from=queue_name)
        for queue in self._queues.values():
            if queue.queue.dead_letters:
                queue.put(letter)

    def forget(self, subscription: "MemorySubscription", queue: MemoryQueue) -> None:
        """A subscription ended; a listener's queue goes with it."""
        self.subscriptions.discard(subscription)
        if queue.queue.listener:
            self._queues.pop(queue.queue.name, None)

    def _ensure(self, queue: Queue) -> MemoryQueue:
        found = self._queues.setdefault(queue.name, MemoryQueue(queue))
        if replace(found.queue, bindings=queue.bindings) != queue:
            raise QueueMismatchError(f"queue {queue.name} exists with other arguments")
        found.patterns.update(queue.bindings)
        return found


class MemorySubscription:
    """A consumer of one memory queue."""

    def __init__(self, broker: MemoryBroker, queue: MemoryQueue, handler: Handler, prefetch: int) -> None:
        self._broker = broker
        self._queue = queue
        self._handling = Handling(queue.queue.name, handler, SPANS)
        self._under_way: dict[asyncio.Task[None], Envelope] = {}
        self._consumer = Consumer(self._start, prefetch)
        queue.join(self._consumer)

    async def bind(self, routing_key: str) -> None:
        """Also take messages of this key."""
        self._queue.patterns.add(routing_key)

    async def unbind(self, routing_key: str) -> None:
        """No longer take messages of this key."""
        self._queue.patterns.discard(routing_key)

    async def stop(self) -> None:
        """Take no more; wait for the handlers under way."""
        self._queue.leave(self._consumer)
        self._handling.hurry()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._broker.forget(self, self._queue)

    async def abandon(self) -> None:
        """Cancel the handlers under way and put back what they held."""
        self._queue.leave(self._consumer)
        held, self._under_way = self._under_way, {}
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        self._queue.put_back(list(held.values()))
        self._broker.forget(self, self._queue)

    def _start(self, envelope: Envelope) -> None:
        task = asyncio.create_task(self._handle(envelope))
        self._under_way[task] = envelope
        task.add_done_callback(self._give_back_unsettled)

    async def _handle(self, envelope: Envelope) -> None:
        disposition = await self._handling(
            Delivery(
                envelope.body,
                envelope.routing_key,
                envelope.redelivered,
                envelope.rejected_from or self._queue.queue.name,
                envelope.reason,
                envelope.headers,
            )
        )
        task = asyncio.current_task()
        # An abandoned handler may end in spite of its cancellation; its delivery is already given back.
        if task is not None and self._under_way.pop(task, None) is not None:
            self._settle(envelope, disposition)
            self._queue.free_place(self._consumer)

    def _give_back_unsettled(self, task: asyncio.Task[None]) -> None:
        if (envelope := self._under_way.pop(task, None)) is not None:
            self._queue.put_back([envelope])
            self._queue.free_place(self._consumer)

    def _settle(self, envelope: Envelope, disposition: Disposition) -> None:
        match disposition:
            case Ack():
                pass
            case Reject(reason):
                self._broker.dead_letter(envelope, reason, self._queue.queue.name)
            case Requeue():
                self._queue.put_back([envelope])
