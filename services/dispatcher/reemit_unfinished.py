"""Runs once at start over a broker that forgets: emits again whatever the store says is unfinished.

An attempt that was running died with the process it ran in, so the chunk goes on with its next attempt.
"""

from dataclasses import dataclass

import structlog

from services.dispatcher.emit_chunks import EmitChunks
from services.dispatcher.lost_attempt import lost_attempt
from services.dispatcher.on_chunk_finished import OnChunkFinished
from services.dispatcher.on_task_submitted import OnTaskSubmitted
from taskandgo.broker.broker import Delivery
from taskandgo.clock import Clock
from taskandgo.messages import TaskSubmitted
from taskandgo.store.records import UnfinishedTask
from taskandgo.store.store import Store

PAGE = 500
AGAIN = Delivery(body=b"", routing_key="", redelivered=True)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reemission:
    """What is needed to emit again."""

    store: Store
    emit: EmitChunks
    on_task_submitted: OnTaskSubmitted
    on_chunk_finished: OnChunkFinished
    clock: Clock

    async def run(self) -> None:
        """Go through all unfinished tasks, a page at a time."""
        after, count = "", 0
        while page := await self.store.unfinished(after, PAGE):
            for unfinished in page:
                await self._reemit(unfinished)
            after, count = page[-1].task.task_id, count + len(page)
        if count:
            log.info("dispatcher.reemitted", tasks=count)

    async def _reemit(self, unfinished: UnfinishedTask) -> None:
        task = unfinished.task
        if not unfinished.ready and not unfinished.running:
            await self.on_task_submitted(TaskSubmitted(task=task), AGAIN)
        await self.emit(task.task_id, unfinished.ready, task)
        for chunk in unfinished.running:
            where = task.task_id, chunk.chunk_index, chunk.attempt
            lost = lost_attempt(where, self.clock.now(), "the process that ran it ended")
            await self.on_chunk_finished(lost, AGAIN)
