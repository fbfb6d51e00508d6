"""Puts chunks of a task in their pool's queue; called by whoever finds that a chunk may run."""

import asyncio
from collections.abc import Iterable

from taskandgo.broker.broker import Broker
from taskandgo.broker.topology import runner_chunk_ready
from taskandgo.errors import UnroutableError
from taskandgo.messages import ChunkReady
from taskandgo.store.records import OpenChunk
from taskandgo.task import TaskSpec


async def emit_chunks(broker: Broker, task: TaskSpec, chunks: Iterable[OpenChunk]) -> None:
    """Publish a ChunkReady for each chunk's present attempt; returns when the broker holds them all."""
    await asyncio.gather(*(_emit(broker, chunk_ready(task, chunk)) for chunk in chunks))


def chunk_ready(task: TaskSpec, chunk: OpenChunk) -> ChunkReady:
    """The message that lets the chunk's present attempt start."""
    return ChunkReady(
        task_id=task.task_id,
        chunk_index=chunk.chunk_index,
        chunk_count=chunk.chunk_count,
        attempt=chunk.attempt,
        priority=task.priority,
        pool=task.pool,
        language=task.language,
        code=task.code,
        stdin=task.stdin,
        env=task.env,
        limits=task.limits,
    )


async def _emit(broker: Broker, message: ChunkReady) -> None:
    try:
        await broker.publish(message)
    except UnroutableError:
        # The first task of a pool may come before the pool's first runner has declared its queue.
        await broker.declare(runner_chunk_ready(message.pool))
        await broker.publish(message)
