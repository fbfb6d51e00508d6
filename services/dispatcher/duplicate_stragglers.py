"""Runs because chunks of a task may straggle: starts those a second time; the first result wins."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from services.dispatcher.emit_chunks import EmitChunks
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.progress import Progress
from taskandgo.clock import Clock
from taskandgo.store.records import Due
from taskandgo.store.store import Store

#: The shortest time between two looks at the same task.
LEAST_BETWEEN = timedelta(seconds=0.5)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DuplicateStragglers:
    """Fires timers of the kind DUPLICATE."""

    store: Store
    emit: EmitChunks
    progress: Progress
    metrics: DispatcherMetrics
    clock: Clock

    async def __call__(self, due: Due) -> datetime | None:
        """Emit second attempts; when to look again, as long as the task is open."""
        now, patience = self.clock.now(), self.progress.seconds_until_straggling
        found = await self.store.duplicate_stragglers(due.task_id, now, patience, again=due.claims > 1)
        for chunk in found.emit:
            log.info("chunk.straggles", task_id=due.task_id, chunk_index=chunk.chunk_index, attempt=chunk.attempt)
        await self.emit(due.task_id, found.emit)
        self.metrics.speculative_starts.inc(len(found.emit))
        return max(found.look_at, now + LEAST_BETWEEN) if found.look_at else None
