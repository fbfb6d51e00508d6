"""Runs because a runner began an attempt: records that chunk and task are running.

Promises: what a runner starts of a cancelled task, because it was not there to hear of it, is ended again.
"""

from dataclasses import dataclass

from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.messages import ChunkStarted, TaskCancelled
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class OnChunkStarted:
    """Handles ChunkStarted."""

    broker: Broker
    store: Store

    async def __call__(self, message: ChunkStarted, delivery: Delivery) -> Disposition:
        """Record it, unless the chunk has gone on meanwhile; have it killed if its task was ended before its time."""
        del delivery
        cancelled = await self.store.start_chunk(
            message.task_id, message.chunk_index, message.attempt, message.runner, message.started_at
        )
        crash_point(CrashPoint.START_RECORDED, message.task_id)
        if cancelled:
            await self.broker.publish(TaskCancelled(task_id=message.task_id, again=True, last_attempt=message.attempt))
        return Ack()
