"""The broker's dead letters, held for as long as a command looks at them: through the seam, whichever broker it is.

Promises: what is not taken out goes back to its place in the queue, whatever happens to the command; a letter that
is published again is taken out only once the broker has it.
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition, Requeue
from taskandgo.broker.connect import MEMORY_SCHEME, broker_version, open_broker
from taskandgo.broker.topology import DEAD_LETTER, runner_chunk_ready
from taskandgo.errors import SettingsError, UndecodableError, UnroutableError
from taskandgo.messages import ChunkReady, Message, decode
from taskandgo.settings import BrokerSettings

#: How many letters are held at a time, and how long the broker may take to hand them over.
MOST_HELD, HAND_OVER_SECONDS = 10_000, 5.0
IN_MEMORY = (
    "BROKER_URL: the broker of `taskandgo up` keeps its dead letters in its own process, and they go with it; "
    "its log and its metric taskandgo_dead_letters_total tell of each"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter; two that say the same have the same id."""

    delivery: Delivery
    answer: asyncio.Future[Disposition]

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that tell it from others."""
        told = (self.delivery.queue, self.delivery.routing_key, self.delivery.reason)
        return hashlib.sha256("\0".join(told).encode() + self.delivery.body).hexdigest()[:12]

    @property
    def message(self) -> Message | None:
        """What it says; None if this version cannot read it."""
        try:
            return decode(self.delivery.body)
        except UndecodableError:
            return None

    def summary(self) -> dict[str, Any]:
        """What there is to know of it without its body."""
        message = self.message
        return {
            "id": self.id,
            "queue": self.delivery.queue,
            "routing_key": self.delivery.routing_key,
            "reason": self.delivery.reason,
            "message": type(message).__name__ if message else None,
            "task_id": _task_id(message),
            "size_bytes": len(self.delivery.body),
        }

    def whole(self) -> dict[str, Any]:
        """All there is to know of it: its message, or its bytes in base64 where they are none."""
        message = self.message
        body = (
            {"body": msgspec.to_builtins(message)} if message else {"body_bytes": base64.b64encode(self.raw).decode()}
        )
        return self.summary() | body

    @property
    def raw(self) -> bytes:
        """Its bytes."""
        return self.delivery.body

    def take_out(self) -> None:
        """It does not go back."""
        self.answer.set_result(Ack())


@asynccontextmanager
async def dead_letter_broker(settings: BrokerSettings) -> AsyncIterator[Broker]:
    """The broker whose dead letters can be seen from here; BrokerAwayError if it does not answer."""
    if settings.broker_url.startswith(MEMORY_SCHEME):
        raise SettingsError(IN_MEMORY)
    await broker_version(settings)
    async with open_broker(settings) as broker:
        yield broker


@asynccontextmanager
async def held(broker: Broker, most: int = MOST_HELD) -> AsyncIterator[list[Letter]]:
    """The oldest letters, up to so many; those that are not taken out go back."""
    expected = min(await broker.depth(DEAD_LETTER), most)
    arrived: list[Letter] = []
    all_here = asyncio.Event()

    async def hold(delivery: Delivery) -> Disposition:
        arrived.append(Letter(delivery, asyncio.get_running_loop().create_future()))
        if len(arrived) >= expected:
            all_here.set()
        return await arrived[-1].answer

    if not expected:
        yield []
        return
    subscription = await broker.consume(DEAD_LETTER, hold, prefetch=expected)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(all_here.wait(), HAND_OVER_SECONDS)
        yield arrived[:expected]
    finally:
        stopping = asyncio.ensure_future(subscription.stop())
        # Nothing more is taken from here on, so what goes back stays there.
        await asyncio.sleep(0)
        while not stopping.done():
            for letter in arrived:
                if not letter.answer.done():
                    letter.answer.set_result(Requeue())
            await asyncio.wait([stopping], timeout=0.1)


async def replay(broker: Broker, letter: Letter) -> bool:
    """Publish what it says once more, by its route, and take it out; False if this version cannot read it."""
    message = letter.message
    if message is None:
        return False
    try:
        await broker.publish(message)
    except UnroutableError:
        if not isinstance(message, ChunkReady):
            raise
        await broker.declare(runner_chunk_ready(message.pool))
        await broker.publish(message)
    letter.take_out()
    return True


def _task_id(message: Message | None) -> str | None:
    task = getattr(message, "task", None)
    found = getattr(task or message, "task_id", None)
    return str(found) if found else None
