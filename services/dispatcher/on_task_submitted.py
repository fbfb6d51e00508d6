"""Runs because ingest accepted a task: applies its strategy and emits its chunks.

Promises: safe to repeat; a chunk that has finished meanwhile is not emitted again.
"""

from dataclasses import dataclass

import structlog

from services.dispatcher.emit_chunks import emit_chunks
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.strategies import batch, split
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.messages import TaskSubmitted
from taskandgo.store.records import NewChunk
from taskandgo.store.store import Store
from taskandgo.words import Strategy

STRATEGIES = {Strategy.BATCH: batch.chunk_count, Strategy.SPLIT: split.chunk_count}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OnTaskSubmitted:
    """Handles TaskSubmitted."""

    broker: Broker
    store: Store
    metrics: DispatcherMetrics

    async def __call__(self, message: TaskSubmitted, delivery: Delivery) -> Disposition:
        """Record the task's chunks, then emit those that have not finished."""
        del delivery
        task = message.task
        count = STRATEGIES[task.strategy](task)
        new = [NewChunk(chunk_index=index, chunk_count=count) for index in range(count)]
        chunks = await self.store.open_chunks(task.task_id, new)
        await emit_chunks(self.broker, task, chunks)
        self.metrics.chunks_emitted.labels(task.priority.word).inc(len(chunks))
        log.debug("task.submitted", task_id=task.task_id, chunks=len(chunks))
        return Ack()
