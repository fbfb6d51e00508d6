"""Puts chunks of a task in their pool's queue; called by whoever finds that a chunk may run."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from services.dispatcher.hand_out_blobs import HandOutBlobs
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.recent_tasks import RecentTask, RecentTasks
from services.dispatcher.retry import grown_memory
from services.dispatcher.strategies.gather import reduce_stdin
from services.dispatcher.strategies.split import Share, share
from services.dispatcher.write_reduce_input import WriteReduceInput
from taskandgo.blob_access import INLINE_BYTES, Attempt
from taskandgo.broker.broker import Broker
from taskandgo.broker.topology import runner_chunk_ready
from taskandgo.clock import Clock
from taskandgo.errors import TooLargeError, UnroutableError
from taskandgo.messages import ChunkFinished, ChunkReady
from taskandgo.store.records import ChunkFilter, OpenChunk
from taskandgo.store.store import Store
from taskandgo.task import AttemptResult, Code, Limits, TaskSpec
from taskandgo.telemetry.tracing import emitting
from taskandgo.words import Outcome

#: How much the chunks of one task may hand to its reduce in a message, where there are no blobs to do it with.
#: RabbitMQ takes messages of up to 16 MiB, unless it is told otherwise.
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
    blobs: HandOutBlobs
    write_reduce_input: WriteReduceInput
    most_memory_bytes: int
    most_reduce_bytes: int

    async def __call__(self, task_id: str, chunks: Sequence[OpenChunk], spec: TaskSpec | None = None) -> None:
        """Emit each chunk's present attempt; returns when the broker holds them all."""
        if not chunks:
            return
        if spec is not None and spec.split is None:
            # One chunk, whole: nothing that anybody would ask for again.
            whole = Share(spec.stdin, {}, spec.stdin_blob)
            await asyncio.gather(*(self._emit_share(spec, chunk, whole) for chunk in chunks))
        elif task := await self.recent.get(task_id):
            await asyncio.gather(*(self._emit(task, chunk) for chunk in chunks))

    async def _emit(self, task: RecentTask, chunk: OpenChunk) -> None:
        split = task.spec.split
        if split and split.reduce and chunk.chunk_index >= chunk.chunk_count:
            await self._emit_reduce(task.spec, split.reduce, chunk)
        else:
            await self._emit_share(task.spec, chunk, share(task.input, chunk.chunk_count, chunk.chunk_index))

    async def _emit_share(self, spec: TaskSpec, chunk: OpenChunk, part: Share) -> None:
        await self._publish(spec, await self._ready(spec, chunk, part))

    async def _emit_reduce(self, spec: TaskSpec, code: Code, chunk: OpenChunk) -> None:
        try:
            part = await self._outputs(spec.task_id, chunk.chunk_count)
        except TooLargeError as error:
            await self.broker.publish(self._refused(spec, chunk, str(error)))
            return
        message = await self._ready(spec, chunk, part)
        gathered = await self._gathered(spec) if spec.trace else []
        await self._publish(spec, msgspec.structs.replace(message, language=code.language, code=code.code), gathered)

    async def _outputs(self, task_id: str, chunk_count: int) -> Share:
        """What a reduce reads; TooLargeError if that is more than it may be."""
        most_bytes = self.most_reduce_bytes if self.blobs.secret else MOST_REDUCE_BYTES
        found = await self.store.reduce_input(task_id, INLINE_BYTES if self.blobs.secret else most_bytes)
        if found.total_bytes > most_bytes:
            raise TooLargeError(f"the chunks wrote {found.total_bytes} bytes; a reduce takes at most {most_bytes}")
        if found.outputs is None:
            return Share(b"", {}, await self.write_reduce_input(task_id, found.total_bytes, chunk_count))
        stdin = reduce_stdin(found.outputs)
        if len(stdin) > MOST_REDUCE_BYTES:
            # No broker would take the message, however often it is told.
            told = f"the chunks wrote {found.total_bytes} bytes, told as {len(stdin)} bytes of JSON"
            raise TooLargeError(f"{told}; where BLOB_SECRET is not set a reduce takes at most {MOST_REDUCE_BYTES}")
        return Share(stdin, {})

    async def _gathered(self, spec: TaskSpec) -> list[tuple[int, int]]:
        """The first chunks that a reduce reads, and the attempts that counted."""
        wanted = ChunkFilter(task_id=spec.task_id, outcomes=(Outcome.SUCCEEDED,))
        return [(chunk.chunk_index, chunk.attempt) for chunk in await self.store.list_chunks(wanted) or ()]

    async def _ready(self, spec: TaskSpec, chunk: OpenChunk, part: Share) -> ChunkReady:
        stdin_part = await self.blobs.part(part) if part.blob else None
        attempt = Attempt(spec.task_id, chunk.chunk_index, chunk.attempt)
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
            stdin_part=stdin_part,
            blobs=self.blobs.access(attempt, stdin_part),
            watcher=spec.watcher,
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
            watcher=spec.watcher,
        )

    async def _publish(self, spec: TaskSpec, message: ChunkReady, gathered: Sequence[tuple[int, int]] = ()) -> None:
        with emitting(spec.trace, (message.chunk_index, message.chunk_count, message.attempt), gathered):
            try:
                await self.broker.publish(message)
            except UnroutableError:
                # The first task of a pool may come before the pool's first runner has declared its queue.
                await self.broker.declare(runner_chunk_ready(message.pool))
                await self.broker.publish(message)
        self.metrics.emitted(message.priority.word, message.pool)
