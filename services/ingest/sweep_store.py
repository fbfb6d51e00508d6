"""Runs once a minute: removes blobs that no task uses any more, and, if told to, tasks that finished long ago.

Promises: any number of ingests may do it side by side; a few rows at a time, so that nobody waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from taskandgo.clock import Clock
from taskandgo.errors import AwayError
from taskandgo.store.store import Store

BETWEEN_SECONDS = 60.0
BLOBS_AT_ONCE, TASKS_AT_ONCE = 4, 200

#: Removes so many at the most of what is older; how many it removed.
Remove = Callable[[datetime, int], Awaitable[int]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SweepStore:
    """Keeps the store from growing by what nobody needs; 0 seconds for finished tasks keeps them."""

    store: Store
    clock: Clock
    unused_blob_seconds: float
    keep_finished_seconds: float

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep while the context lasts."""
        sweeping = asyncio.get_running_loop().create_task(self._for_ever())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    async def once(self) -> None:
        """Remove what is old enough now."""
        now = self.clock.now()
        if self.keep_finished_seconds:
            before = now - timedelta(seconds=self.keep_finished_seconds)
            await _remove("tasks.removed", self.store.remove_finished, before, TASKS_AT_ONCE)
        before = now - timedelta(seconds=self.unused_blob_seconds)
        await _remove("blobs.removed", self.store.blobs.remove_unused, before, BLOBS_AT_ONCE)

    async def _for_ever(self) -> None:
        while True:
            try:
                await self.once()
            except AwayError as error:
                log.warning("sweep.waiting", error=str(error))
            except Exception:
                # Nobody else would sweep for as long as this process lives.
                log.exception("sweep.failed")
            await asyncio.sleep(BETWEEN_SECONDS)


async def _remove(event: str, remove: Remove, before: datetime, at_once: int) -> None:
    removed = 0
    while (count := await remove(before, at_once)) == at_once:
        removed += count
    if removed + count:
        log.info(event, count=removed + count)
