"""Puts chunks of a task in their pool's queue; called by whoever finds that a chunk may run."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.recent_tasks import RecentTask, RecentTasks
from services.dispatcher.retry import grown_memory
from services.dispatcher.strategies.gather import reduce_stdin
from services.dispatcher.strategies.split import Share, share
from taskandgo.broker.broker import Broker
from taskandgo.broker.topology import runner_chunk_ready
from taskandgo.clock import Clock
from taskandgo.errors import UnroutableError
from taskandgo.messages import ChunkFinished, ChunkReady
from taskandgo.store.records import OpenChunk
from taskandgo.store.store import Store
from taskandgo.task import AttemptResult, Code, Limits, TaskSpec
from taskandgo.words import Outcome

#: How much the chunks of one task may hand to its reduce.
MOST_REDUCE_BYTES = 8 * 1024 * 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EmitChunks:
    """Publishes ChunkReady, each with its share of the task's input."""

    broker: Broker
    store: Store
    recent: RecentTasks
    metrics: DispatcherMetrics
    clock: Clock
    most_memory_bytes: int

    async def __call__(self, task_id: str, chunks: Sequence[OpenChunk], spec: TaskSpec | None = None) -> None:
        """Emit each chunk's present attempt; returns when the broker holds them all."""
        if not chunks:
            return
        if spec is not None and spec.split is None:
            # One chunk, whole: nothing that anybody would ask for again.
            whole = Share(spec.stdin, {})
            await asyncio.gather(*(self._publish(self._ready(spec, chunk, whole)) for chunk in chunks))
        elif task := await self.recent.get(task_id):
            await asyncio.gather(*(self._emit(task, chunk) for chunk in chunks))

    async def _emit(self, task: RecentTask, chunk: OpenChunk) -> None:
        split = task.spec.split
        if split and split.reduce and chunk.chunk_index >= chunk.chunk_count:
            await self._emit_reduce(task.spec, split.reduce, chunk)
        else:
            part = share(task.input, chunk.chunk_count, chunk.chunk_index)
            await self._publish(self._ready(task.spec, chunk, part))

    async def _emit_reduce(self, spec: TaskSpec, code: Code, chunk: OpenChunk) -> None:
        found = await self.store.reduce_input(spec.task_id, MOST_REDUCE_BYTES)
        if found.outputs is None:
            reason = f"the chunks wrote {found.total_bytes} bytes; a reduce takes at most {MOST_REDUCE_BYTES}"
            await self.broker.publish(self._refused(spec, chunk, reason))
            return
        stdin = Share(reduce_stdin(found.outputs), {})
        message = self._ready(spec, chunk, stdin)
        await self._publish(msgspec.structs.replace(message, language=code.language, code=code.code))

    def _ready(self, spec: TaskSpec, chunk: OpenChunk, part: Share) -> ChunkReady:
        return ChunkReady(
            task_id=spec.task_id,
            chunk_index=chunk.chunk_index,
            chunk_count=chunk.chunk_count,
            attempt=chunk.attempt,
            priority=spec.priority,
            pool=spec.pool,
            language=spec.language,
            code=spec.code,
            stdin=part.stdin,
            env={**spec.env, **part.env} if part.env else spec.env,
            limits=self._limits(spec.limits, chunk.out_of_memory_count),
        )

    def _limits(self, asked: Limits, out_of_memory_count: int) -> Limits:
        if not asked.memory_bytes or not out_of_memory_count:
            return asked
        grown = grown_memory(asked.memory_bytes, out_of_memory_count, self.most_memory_bytes)
        return msgspec.structs.replace(asked, memory_bytes=grown)

    def _refused(self, spec: TaskSpec, chunk: OpenChunk, reason: str) -> ChunkFinished:
        return ChunkFinished(
            task_id=spec.task_id,
            chunk_index=chunk.chunk_index,
            attempt=chunk.attempt,
            runner="",
            started_at=None,
            finished_at=self.clock.now(),
            result=AttemptResult(outcome=Outcome.OUTPUT_LIMIT, reason=reason),
            language=spec.language,
        )

    async def _publish(self, message: ChunkReady) -> None:
        try:
            await self.broker.publish(message)
        except UnroutableError:
            # The first task of a pool may come before the pool's first runner has declared its queue.
            await self.broker.declare(runner_chunk_ready(message.pool))
            await self.broker.publish(message)
        self.metrics.chunks_emitted.labels(message.priority.word).inc()
