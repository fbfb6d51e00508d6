"""Runs because an attempt ended or was lost: records it once, and sees to whatever follows.

What follows: the next attempt, the next chunks, the reduce, the end of a second attempt that is not needed any
more, or the end of the task. Promises: safe to repeat at every step; a late or second end changes nothing.
"""

from dataclasses import dataclass

import structlog

from services.dispatcher.announce_task import announce_task
from services.dispatcher.claims import Claims
from services.dispatcher.emit_chunks import EmitChunks
from services.dispatcher.fire_timers import FireTimers
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.progress import Progress
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
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
    claims: Claims
    return_seconds: float

    async def __call__(self, message: ChunkFinished, delivery: Delivery) -> Disposition:
        """Record the end, then do what it leads to; an attempt that still runs was not lost."""
        if await self._still_runs(message):
            log.info("chunk.still_runs", **_attempt(message))
            self.metrics.attempts_kept.inc()
            return Ack()
        ending = Ending(message=message, at=self.clock.now(), redelivered=delivery.redelivered)
        with step("record result"):
            recorded = await self.store.record_ending(ending, self.progress.advance)
        crash_point(CrashPoint.ENDING_RECORDED, message.task_id)
        self.metrics.recorded(message, recorded)
        _log(message, recorded)
        await self.emit(message.task_id, recorded.emit)
        crash_point(CrashPoint.ENDING_EMITTED, message.task_id)
        for attempt in recorded.cancel:
            await self.broker.publish(
                ChunkCancelled(task_id=message.task_id, chunk_index=message.chunk_index, attempt=attempt)
            )
        if recorded.due_at:
            self.timers.expect(recorded.due_at)
        # A redelivery repeats the announcement: the dispatcher before may have died just ahead of it.
        if recorded.finished and (recorded.newly_finished or delivery.redelivered):
            await announce_task(self.broker, recorded.finished, message.watcher)
            crash_point(CrashPoint.TASK_FINISHED_PUBLISHED, message.task_id)
        return Ack()

    async def _still_runs(self, message: ChunkFinished) -> bool:
        """Whether a runner has it that was only cut off from the broker, not the one that got its redelivery."""
        if message.result.outcome is not Outcome.LOST or message.alive or not message.runner:
            return False
        key = message.task_id, message.chunk_index, message.attempt
        # What had not begun is nobody's work that could be thrown away.
        begun = self.claims.believed().has(key) or await self.store.is_running(*key)
        return begun and await self.claims.confirms(key, self.return_seconds)


def _log(message: ChunkFinished, recorded: Recorded) -> None:
    log.info(
        "chunk.finished" if recorded.kept else "chunk.finished.dropped",
        outcome=message.result.outcome,
        **_attempt(message),
    )


def _attempt(message: ChunkFinished) -> dict[str, str | int]:
    return {"task_id": message.task_id, "chunk_index": message.chunk_index, "attempt": message.attempt}
