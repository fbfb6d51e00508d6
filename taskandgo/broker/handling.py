"""Runs a handler for one delivery and says what becomes of the delivery, the same way for both brokers.

Promises: whatever a handler returns or raises, the answer is one disposition; something that is away is
waited for, a handler that fails twice on one delivery has it dead-lettered, and a stop cuts the pauses short.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from taskandgo.broker.broker import Delivery, Disposition, Handler, Reject, Requeue
from taskandgo.broker.message_spans import MessageSpans, note
from taskandgo.errors import AwayError, UndecodableError
from taskandgo.messages import Message, decode
from taskandgo.telemetry.process_metrics import PROCESS

M = TypeVar("M", bound=Message)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0

log = structlog.get_logger()


def decoded(handle: Callable[[M, Delivery], Awaitable[Disposition]], kind: type[M]) -> Handler:
    """A handler of deliveries from a handler of one kind of message; any other body is dead-lettered."""

    async def handle_delivery(delivery: Delivery) -> Disposition:
        try:
            message = decode(delivery.body)
        except UndecodableError as error:
            return Reject(str(error))
        if not isinstance(message, kind):
            return Reject(f"expected {kind.__name__}, got {type(message).__name__}")
        note(message)
        return await handle(message, delivery)

    return handle_delivery


class Handling:
    """One subscription's handler, and how long to pause when it fails."""

    def __init__(self, queue: str, handler: Handler, spans: MessageSpans) -> None:
        self._queue = queue
        self._redelivered = PROCESS.redelivered_from(queue)
        self._handler = handler
        self._spans = spans
        self._failures = 0
        self._hurried = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> Disposition:
        """What becomes of the delivery."""
        if delivery.redelivered:
            self._redelivered.inc()
        try:
            with self._spans.processing(self._queue, delivery):
                disposition = await self._handler(delivery)
        except AwayError as error:
            log.warning("handler.away", queue=self._queue, error=str(error))
            return await self.requeue_later()
        except Exception as error:
            log.exception("handler.failed", queue=self._queue, redelivered=delivery.redelivered)
            return Reject(repr(error)) if delivery.redelivered else await self.requeue_later()
        if not isinstance(disposition, Reject):
            # Whether it can be dead-lettered is still to be seen.
            self._failures = 0
        return disposition

    async def requeue_later(self) -> Disposition:
        """What becomes of a delivery that cannot be dealt with now, after a pause."""
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        try:
            async with asyncio.timeout(longest * random.uniform(0.5, 1)):  # noqa: S311  no secret
                await self._hurried.wait()
        except TimeoutError:
            pass
        return Requeue()

    def hurry(self) -> None:
        """Pause no more: the subscription is stopping."""
        self._hurried.set()
