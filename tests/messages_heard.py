"""Listens on a broker for a test: every message, in order, and the first of a kind, waited for."""

import asyncio
from collections import deque
from collections.abc import Callable

from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.messages import Message, decode


class Heard:
    """Every message that came, in order."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self._changed = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> Disposition:
        """Keep it."""
        async with self._changed:
            self.messages.append(decode(delivery.body))
            self._changed.notify_all()
        return Ack()

    async def first(self, wanted: Callable[[Message], bool]) -> Message:
        """The first message that is wanted, waited for."""
        async with self._changed, asyncio.timeout(60):
            await self._changed.wait_for(lambda: any(map(wanted, self.messages)))
            return next(filter(wanted, self.messages))
