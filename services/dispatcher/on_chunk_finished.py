"""Runs because an attempt ended or was lost: records its result once, replaces a lost one, finishes the task.

Promises: safe to repeat at every step; a late or second result changes nothing.
"""

from dataclasses import dataclass

import msgspec
import structlog

from services.dispatcher.announce_task import announce_task
from services.dispatcher.emit_chunks import emit_chunks
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.strategies.gather import settle
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.messages import ChunkFinished
from taskandgo.store.records import OpenChunk, Recorded
from taskandgo.store.store import Store
from taskandgo.words import Outcome

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OnChunkFinished:
    """Handles ChunkFinished; a chunk is given up after `max_lost` runners died while running it."""

    broker: Broker
    store: Store
    metrics: DispatcherMetrics
    max_lost: int

    async def __call__(self, message: ChunkFinished, delivery: Delivery) -> Disposition:
        """Replace a lost attempt by the next; record any other."""
        if message.result.outcome is Outcome.LOST:
            await self._replace(message, delivery)
        else:
            await self._record(message, delivery)
        return Ack()

    async def _replace(self, message: ChunkFinished, delivery: Delivery) -> None:
        key = (message.task_id, message.chunk_index, message.attempt)
        replaced = await self.store.replace_lost(*key, self.max_lost)
        if replaced.quarantined:
            self.metrics.chunks_given_up.inc()
            await self._record(_given_up(message, self.max_lost), delivery)
        elif replaced.attempt is not None and replaced.task is not None:
            self.metrics.attempts_lost.inc()
            log.warning(
                "chunk.lost",
                task_id=message.task_id,
                chunk_index=message.chunk_index,
                attempt=message.attempt,
            )
            chunk = OpenChunk(
                chunk_index=message.chunk_index, chunk_count=replaced.chunk_count, attempt=replaced.attempt
            )
            await emit_chunks(self.broker, replaced.task, [chunk])
            self.metrics.chunks_emitted.labels(replaced.task.priority.word).inc()

    async def _record(self, message: ChunkFinished, delivery: Delivery) -> None:
        recorded = await self.store.record_result(message, settle)
        self._count(message, recorded)
        log.info(
            "chunk.finished" if recorded.kept else "chunk.finished.dropped",
            task_id=message.task_id,
            chunk_index=message.chunk_index,
            attempt=message.attempt,
            outcome=message.result.outcome,
        )
        # A redelivery repeats the announcement: the dispatcher before may have died just ahead of it.
        if recorded.finished and (recorded.newly_finished or delivery.redelivered):
            await announce_task(self.broker, recorded.finished)

    def _count(self, message: ChunkFinished, recorded: Recorded) -> None:
        if recorded.kept:
            self.metrics.results_recorded.labels(message.result.outcome).inc()
        else:
            self.metrics.results_dropped.inc()


def _given_up(message: ChunkFinished, max_lost: int) -> ChunkFinished:
    reason = f"given up: {max_lost} runners died while running this chunk"
    return msgspec.structs.replace(message, result=msgspec.structs.replace(message.result, reason=reason))
