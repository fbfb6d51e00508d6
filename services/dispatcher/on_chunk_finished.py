"""Runs because an attempt ended or was lost: records it once, and sees to whatever follows.

What follows: the next attempt, the next chunks, the reduce, the end of a second attempt that is not needed any
more, or the end of the task. Promises: safe to repeat at every step; a late or second end changes nothing.
"""

from dataclasses import dataclass

import structlog

from services.dispatcher.announce_task import announce_task
from services.dispatcher.emit_chunks import EmitChunks
from services.dispatcher.fire_timers import FireTimers
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.progress import Progress
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.messages import ChunkCancelled, ChunkFinished
from taskandgo.store.records import Ending, Recorded
from taskandgo.store.store import Store
from taskandgo.telemetry.tracing import step
from taskandgo.words import Outcome

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OnChunkFinished:
    """Handles ChunkFinished."""

    broker: Broker
    store: Store
    emit: EmitChunks
    progress: Progress
    timers: FireTimers
    metrics: DispatcherMetrics
    clock: Clock

    async def __call__(self, message: ChunkFinished, delivery: Delivery) -> Disposition:
        """Record the end, then do what it leads to."""
        ending = Ending(message=message, at=self.clock.now(), redelivered=delivery.redelivered)
        with step("record result"):
            recorded = await self.store.record_ending(ending, self.progress.advance)
        self._count(message, recorded)
        _log(message, recorded)
        await self.emit(message.task_id, recorded.emit)
        for attempt in recorded.cancel:
            await self.broker.publish(
                ChunkCancelled(task_id=message.task_id, chunk_index=message.chunk_index, attempt=attempt)
            )
        if recorded.due_at:
            self.timers.expect(recorded.due_at)
        # A redelivery repeats the announcement: the dispatcher before may have died just ahead of it.
        if recorded.finished and (recorded.newly_finished or delivery.redelivered):
            await announce_task(self.broker, recorded.finished, message.watcher)
        return Ack()

    def _count(self, message: ChunkFinished, recorded: Recorded) -> None:
        if not recorded.kept:
            self.metrics.results_dropped.inc()
        elif message.result.outcome is Outcome.LOST and not recorded.given_up:
            self.metrics.attempts_lost.inc()
        else:
            self.metrics.results_recorded.labels(message.result.outcome).inc()
        if recorded.given_up:
            self.metrics.chunks_given_up.inc()


def _log(message: ChunkFinished, recorded: Recorded) -> None:
    log.info(
        "chunk.finished" if recorded.kept else "chunk.finished.dropped",
        task_id=message.task_id,
        chunk_index=message.chunk_index,
        attempt=message.attempt,
        outcome=message.result.outcome,
    )
