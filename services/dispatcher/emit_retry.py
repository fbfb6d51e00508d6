"""Runs because a chunk's next attempt is due: puts it in the queue again."""

from dataclasses import dataclass

from services.dispatcher.emit_chunks import EmitChunks
from taskandgo.clock import Clock
from taskandgo.store.records import Due
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class EmitRetry:
    """Fires timers of the kind RETRY."""

    store: Store
    emit: EmitChunks
    clock: Clock

    async def __call__(self, due: Due) -> None:
        """Emit it, unless its task has been ended meanwhile."""
        if chunk := await self.store.wake_chunk(due, self.clock.now()):
            await self.emit(due.task_id, [chunk])
