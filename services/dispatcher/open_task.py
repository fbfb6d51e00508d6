"""Cuts a task into chunks and emits the first of them; called when it is submitted, and when its start is due."""

from dataclasses import dataclass

import structlog

from services.dispatcher.emit_chunks import EmitChunks
from services.dispatcher.pools import Pools
from services.dispatcher.progress import Progress
from services.dispatcher.strategies import batch, split
from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.store.chunks import Opening
from taskandgo.store.store import Store
from taskandgo.task import TaskSpec
from taskandgo.words import Strategy

STRATEGIES = {Strategy.BATCH: batch.chunk_count, Strategy.SPLIT: split.chunk_count}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OpenTask:
    """Opens tasks; safe to repeat: a task is cut once, and what runs or has finished is not emitted again."""

    store: Store
    emit: EmitChunks
    progress: Progress
    pools: Pools
    clock: Clock

    async def __call__(self, task: TaskSpec, *, again: bool) -> None:
        """Record how many chunks it has, then emit those that the window takes; `again` also those taken before."""
        count = STRATEGIES[task.strategy](task, self.pools.free_slots(task.pool))
        chunks = await self.store.open_chunks(
            Opening(task.task_id, count, self.progress.refill, self.clock.now(), again)
        )
        crash_point(CrashPoint.TASK_OPENED, task.task_id)
        await self.emit(task.task_id, chunks, task)
        crash_point(CrashPoint.CHUNKS_EMITTED, task.task_id)
        log.debug("task.opened", task_id=task.task_id, chunks=count, emitted=len(chunks))
