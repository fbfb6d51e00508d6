"""How many attempts start and how many tasks end a second; fed from this ingest's own queue.

Promises: the events are bound only while somebody watches, so that nobody pays for what nobody sees.
"""

from collections import Counter
from dataclasses import dataclass, field

import structlog

from taskandgo.broker.broker import Ack, Delivery, Disposition, Reject, Subscription
from taskandgo.errors import BrokerAwayError, UndecodableError
from taskandgo.messages import ChunkStarted, TaskFinished, decode
from taskandgo.words import TaskState

KEYS = ("chunk.started.#", "task.finished.#")
STARTED, SUCCEEDED, FAILED = "started", "succeeded", "failed"

log = structlog.get_logger()


@dataclass(slots=True)
class EventRates:
    """Counts events since they were last taken."""

    subscription: Subscription | None = None
    _bound: bool = False
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
        assert self.subscription is not None
        if self._bound:
            return
        try:
            for key in KEYS:
                await self.subscription.bind(key)
            self._bound = True
        except BrokerAwayError as error:
            log.warning("rates.unknown", error=str(error))

    async def rest(self) -> None:
        """Count no longer."""
        assert self.subscription is not None
        self._bound = False
        try:
            for key in KEYS:
                await self.subscription.unbind(key)
        except BrokerAwayError as error:
            # Events go on being counted for nobody, until somebody has watched again.
            log.warning("rates.not_unbound", error=str(error))
        self._counts.clear()
