"""What happens once the store has hung: nobody waits for it until it has answered again.

A store that refuses connections says so at once, every time; one behind a network that swallows packets would let
each caller wait in vain. Promises: one question at a time is under way; pauses between them grow, within bounds.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from taskandgo.errors import StoreAwayError

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 2.0

log = structlog.get_logger()


class Absence:
    """Whether the store hung lately; `ask` returns once it has answered, and raises when it has not."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None

    def check(self) -> None:
        """StoreAwayError while the store has not answered again."""
        if self._asking is not None:
            raise StoreAwayError("the store is away: it hangs")

    def begin(self) -> None:
        """The store hangs."""
        if self._asking is None:
            log.warning("store.hangs")
            self._asking = asyncio.get_running_loop().create_task(self._ask_until_answered())

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask_until_answered(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            try:
                await self._ask()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
                log.debug("store.hangs_still", error=repr(error))
            else:
                self._asking = None
                log.info("store.answers")
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
