"""One connection to RabbitMQ that comes back by itself, with everything that was on it.

Promises: it is tried again at once, then less and less often up to once in five seconds, never in step with others;
one that is silent for as long as the heartbeat setting says is given up by both ends.
"""

import asyncio
import random
from time import monotonic

import structlog
from aio_pika import RobustConnection, connect_robust

from taskandgo.broker.rabbitmq_errors import CONNECTION_FAILURES
from taskandgo.settings import BrokerSettings

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
#: A peer is given up after two to three silent intervals.
INTERVALS = 3

log = structlog.get_logger()


async def open_connection(settings: BrokerSettings) -> RobustConnection:
    """A connection; tries until RabbitMQ can be reached."""
    lost_at = monotonic()
    while True:
        try:
            return await connect_robust(
                settings.broker_url,
                timeout=settings.broker_publish_timeout_seconds,
                connection_class=ReturningConnection,
                heartbeat=max(1, settings.broker_heartbeat_seconds // INTERVALS),
            )
        except CONNECTION_FAILURES as error:
            pause = pause_seconds(monotonic() - lost_at)
            log.warning("broker.away", error=repr(error), retry_in_seconds=round(pause, 2))
        await asyncio.sleep(pause)


def pause_seconds(away_seconds: float) -> float:
    """How long to wait before the next try: half as long again as the broker has been away, within bounds."""
    longest = min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, away_seconds / 2))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - no secret


class ReturningConnection(RobustConnection):
    """A connection whose pauses grow with the time that it has been away."""

    _lost_at: float | None = None

    @property
    def reconnect_interval(self) -> float:
        """Seconds until the next try."""
        return pause_seconds(monotonic() - self._lost_at if self._lost_at else 0.0)

    @reconnect_interval.setter
    def reconnect_interval(self, seconds: float) -> None:
        del seconds

    async def _on_connection_close(self, closing: "asyncio.Future[object]") -> None:
        self._lost_at = self._lost_at or monotonic()
        await super()._on_connection_close(closing)

    async def _on_connected(self) -> None:
        await super()._on_connected()
        self._lost_at = None
