"""What an AMQP client raises when the broker is away, and how the rest of the product hears of it.

Promises: every failure of a connection or channel becomes BrokerAwayError, and only those.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from taskandgo.errors import BrokerAwayError

#: The client answers a call on a closed connection with a RuntimeError, and a peer that hangs up while it is greeted
#: with a StopAsyncIteration.
CONNECTION_FAILURES = (*CONNECTION_EXCEPTIONS, TimeoutError)


@asynccontextmanager
async def away_when_failing(timeout_seconds: float) -> AsyncIterator[None]:
    """BrokerAwayError for whatever the broker does not do in time."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except CONNECTION_FAILURES as error:
        raise BrokerAwayError(f"the broker did not answer: {error!r}") from error
