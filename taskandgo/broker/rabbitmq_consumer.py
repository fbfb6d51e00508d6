"""Consumes one queue of RabbitMQ and settles each delivery as its handler says.

Promises: a handler runs in a task of its own, not the channel's, so it outlives a lost connection; an
answer to a delivery of that connection is dropped, since the broker redelivers.
"""

import asyncio

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from taskandgo.broker.broker import Ack, Delivery, Disposition, Handler, Reject, Requeue
from taskandgo.broker.handling import Handling
from taskandgo.broker.message_spans import MessageSpans, carried
from taskandgo.broker.rabbitmq_errors import CONNECTION_FAILURES, away_when_failing
from taskandgo.broker.rabbitmq_publisher import Publisher
from taskandgo.broker.topology import EXCHANGE, Queue
from taskandgo.errors import BrokerAwayError, TaskAndGoError

log = structlog.get_logger()


class RabbitmqSubscription:
    """A consumer with a channel of its own."""

    def __init__(
        self, queue: Queue, handler: Handler, publisher: Publisher, spans: MessageSpans, timeout_seconds: float
    ) -> None:
        self._queue = queue
        self._handling = Handling(queue.name, handler, spans)
        self._publisher = publisher
        self._timeout_seconds = timeout_seconds
        self._under_way: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._abandoned = False
        self._channel: AbstractChannel
        self._declared: AbstractQueue
        self._tag = ""
        self.ended = False

    async def start(self, channel: AbstractChannel, declared: AbstractQueue) -> None:
        """Begin to take messages."""
        self._channel, self._declared = channel, declared
        self._tag = await declared.consume(self._take)

    async def bind(self, routing_key: str) -> None:
        """Also take messages of this key."""
        async with away_when_failing(self._timeout_seconds):
            await self._declared.bind(EXCHANGE, routing_key=routing_key)

    async def unbind(self, routing_key: str) -> None:
        """No longer take messages of this key."""
        async with away_when_failing(self._timeout_seconds):
            await self._declared.unbind(EXCHANGE, routing_key=routing_key)

    async def stop(self) -> None:
        """Take no more; wait for the handlers under way and settle what they held."""
        self._stopping = True
        await self._cancel_consuming()
        self._handling.hurry()
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._close()

    async def abandon(self) -> None:
        """Cancel the handlers under way and close the channel, so that the broker redelivers."""
        self._stopping = self._abandoned = True
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._close()

    async def _cancel_consuming(self) -> None:
        if not self._publisher.connected:
            return  # nobody is there to be told; what comes when the broker returns is given back
        try:
            async with away_when_failing(self._timeout_seconds):
                await self._declared.cancel(self._tag)
        except BrokerAwayError as error:
            log.warning("consumer.cancel_failed", queue=self._queue.name, error=str(error))

    async def _close(self) -> None:
        if self.ended:
            return
        self.ended = True
        try:
            async with away_when_failing(self._timeout_seconds):
                if self._queue.listener and self._publisher.connected and not self._channel.is_closed:
                    await self._declared.delete(if_unused=False, if_empty=False)
                await self._channel.close()
        except BrokerAwayError as error:
            log.debug("consumer.close_failed", queue=self._queue.name, error=str(error))

    async def _take(self, message: AbstractIncomingMessage) -> None:
        if self._stopping:
            await self._settle(message, Requeue())
            return
        task = asyncio.create_task(self._handle(message))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        disposition: Disposition = Requeue()
        try:
            disposition = await self._handling(self._delivery(message))
        finally:
            # An abandoned delivery comes back by its channel closing; any other is settled whatever happens.
            if not self._abandoned:
                await self._settle(message, disposition)

    def _delivery(self, message: AbstractIncomingMessage) -> Delivery:
        headers = message.headers
        reason = headers.get("reason") or headers.get("x-first-death-reason") or ""
        origin = headers.get("queue") or headers.get("x-first-death-queue") or self._queue.name
        key = headers.get("routing-key") or message.routing_key or ""
        return Delivery(message.body, str(key), bool(message.redelivered), str(origin), str(reason), headers)

    async def _settle(self, message: AbstractIncomingMessage, disposition: Disposition) -> None:
        try:
            match disposition:
                case Ack():
                    await message.ack()
                case Reject(reason):
                    await self._reject(message, reason)
                case Requeue():
                    await message.nack(requeue=True)
        except CONNECTION_FAILURES as error:
            log.debug("delivery.lost", queue=self._queue.name, error=repr(error))

    async def _reject(self, message: AbstractIncomingMessage, reason: str) -> None:
        key = message.routing_key or ""
        log.warning("message.rejected", queue=self._queue.name, routing_key=key, reason=reason)
        headers = carried(message.headers) | {"reason": reason, "queue": self._queue.name, "routing-key": key}
        try:
            await self._publisher.dead_letter(message.body, headers)  # type: ignore[arg-type]
        except TaskAndGoError as error:
            log.warning("message.not_dead_lettered", queue=self._queue.name, error=str(error))
            await self._handling.requeue_later()
            await message.nack(requeue=True)
        else:
            await message.ack()
