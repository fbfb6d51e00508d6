"""Runs on a timer: tells Kubernetes how many chunks this runner has been running for a while, so that it goes last.

Promises: a runner whose chunks are short never calls the API; one that cannot call it works all the same, and drains.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from services.runner.patch_pod import Pod, PodError
from services.runner.running_chunks import Key, RunningChunks

#: A chunk that lives through two looks would hold up the pod's end, or lose what it did.
LOOK_SECONDS = 15.0

log = structlog.get_logger()


@dataclass(slots=True)
class RaiseDeletionCost:
    """Counts the chunks that were there at the last look already."""

    pod: Pod
    running: RunningChunks
    look_seconds: float = LOOK_SECONDS
    _before: frozenset[Key] = frozenset()
    _told: int = 0

    async def for_ever(self) -> None:
        """One look each interval."""
        while True:
            await self.once()
            await asyncio.sleep(self.look_seconds)

    async def once(self) -> None:
        """Look, and tell what has changed; what could not be told is told next time."""
        now = self.running.keys()
        cost, self._before = len(now & self._before), now
        if cost == self._told:
            return
        try:
            await self.pod.set_deletion_cost(cost)
            self._told = cost
        except PodError as error:
            log.warning("runner.deletion_cost_untold", error=str(error))


@asynccontextmanager
async def raising_deletion_cost(pod_name: str, running: RunningChunks) -> AsyncIterator[None]:
    """Look while the context lasts; without a pod's name, do nothing."""
    if not pod_name:
        yield
        return
    pod = Pod(pod_name)
    looking = asyncio.get_running_loop().create_task(RaiseDeletionCost(pod, running).for_ever())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await pod.close()
