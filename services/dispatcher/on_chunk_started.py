"""Runs because a runner began an attempt: records that chunk and task are running."""

from dataclasses import dataclass

from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.messages import ChunkStarted
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class OnChunkStarted:
    """Handles ChunkStarted."""

    store: Store

    async def __call__(self, message: ChunkStarted, delivery: Delivery) -> Disposition:
        """Record it, unless the chunk has gone on meanwhile."""
        del delivery
        await self.store.start_chunk(
            message.task_id, message.chunk_index, message.attempt, message.runner, message.started_at
        )
        return Ack()
