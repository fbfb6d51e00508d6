"""Runs because another attempt at a chunk succeeded first: kills the one that is not needed any more."""

from dataclasses import dataclass

from services.runner.running_chunks import RunningChunks
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.messages import ChunkCancelled


@dataclass(frozen=True, slots=True)
class OnChunkCancelled:
    """Handles ChunkCancelled."""

    running: RunningChunks

    async def __call__(self, message: ChunkCancelled, delivery: Delivery) -> Disposition:
        """Kill it; what is not here is somebody else's."""
        del delivery
        self.running.cancel_chunk((message.task_id, message.chunk_index, message.attempt))
        return Ack()
