"""How many attempts start and how many tasks end a second; fed from this ingest's own queue.

Promises: the events are bound only while somebody watches, so that nobody pays for what nobody sees; a broker that is
away holds up nobody, at worst events go on being counted for nobody until somebody has watched again.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import structlog

from taskandgo.broker.broker import Ack, Delivery, Disposition, Reject, Subscription
from taskandgo.errors import BrokerAwayError, UndecodableError
from taskandgo.messages import ChunkStarted, TaskFinished, decode
from taskandgo.words import TaskState

KEYS = ("chunk.started.#", "task.finished.#")
#: How long anybody waits for the events to be bound.
PATIENCE_SECONDS = 0.5
STARTED, SUCCEEDED, FAILED = "started", "succeeded", "failed"

log = structlog.get_logger()


@dataclass(slots=True)
class EventRates:
    """Counts events since they were last taken."""

    subscription: Subscription | None = None
    _wanted: bool = False
    _bound: bool = False
    _binding: asyncio.Task[None] | None = None
    _counts: Counter[str] = field(default_factory=Counter)

    async def on_event(self, delivery: Delivery) -> Disposition:
        """Count a ChunkStarted or TaskFinished."""
        try:
            message = decode(delivery.body)
        except UndecodableError as error:
            return Reject(str(error))
        if isinstance(message, ChunkStarted):
            self._counts[STARTED] += 1
        elif isinstance(message, TaskFinished):
            self._counts[SUCCEEDED if message.state is TaskState.SUCCEEDED else FAILED] += 1
        return Ack()

    def take(self) -> Counter[str]:
        """What has come since the last time."""
        taken, self._counts = self._counts, Counter()
        return taken

    async def listen(self) -> None:
        """Begin to count; tried again by whoever calls this again, if the broker is away."""
        if not self._wanted:
            self._counts.clear()
        self._wanted = True
        await self._catch_up()

    async def rest(self) -> None:
        """Count no longer."""
        self._wanted = False
        await self._catch_up()

    async def _catch_up(self) -> None:
        if self._binding is None and self._bound != self._wanted:
            self._binding = asyncio.get_running_loop().create_task(self._bind())
        if self._binding:
            # Left to end by itself: a broker that is away shall hold up nobody.
            await asyncio.wait([self._binding], timeout=PATIENCE_SECONDS)

    async def _bind(self) -> None:
        assert self.subscription is not None
        try:
            while (wanted := self._wanted) != self._bound:
                # Half of it is as good as nothing, and is put right by binding or unbinding all of it.
                self._bound = False
                for key in KEYS:
                    await (self.subscription.bind(key) if wanted else self.subscription.unbind(key))
                self._bound = wanted
        except BrokerAwayError as error:
            log.warning("rates.unknown", wanted=wanted, error=str(error))
        finally:
            self._binding = None
