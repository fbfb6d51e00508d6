"""Runs because a chunk may start here: executes it, publishes its result, and only then acks.

Promises: a redelivered chunk is never run as the same attempt, and of two copies of an attempt one; at most `slots`
chunks run, whatever the broker hands over; a result is published however long the broker is away.
"""

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.runner.execute_chunk import ExecuteChunk
from services.runner.metrics import RunnerMetrics
from services.runner.running_chunks import RunningChunk, RunningChunks
from services.runner.stream_output import StreamOutput
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.errors import BrokerAwayError, UnroutableError
from taskandgo.messages import ChunkFinished, ChunkReady, ChunkStarted
from taskandgo.task import AttemptResult
from taskandgo.words import Outcome

LONGEST_PAUSE_SECONDS = 5.0
CUT_OFF = AttemptResult(outcome=Outcome.LOST, reason="its runner died, or was cut off before it started")
NOT_STARTED = AttemptResult(outcome=Outcome.CANCELLED, reason="it was cancelled before it started")
HANDED_BACK = AttemptResult(outcome=Outcome.LOST, reason="its runner was told to stop, and handed it back")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OnChunkReady:
    """Handles ChunkReady, on one of `slots`."""

    broker: Broker
    execute: ExecuteChunk
    running: RunningChunks
    slots: asyncio.Semaphore
    runner: str
    clock: Clock
    metrics: RunnerMetrics

    async def __call__(self, message: ChunkReady, delivery: Delivery) -> Disposition:
        """Run it, unless it is known to run, or to have died, already."""
        key = (message.task_id, message.chunk_index, message.attempt)
        while here := self.running.get(key):
            # Redelivered after a lost connection, or emitted twice: this delivery takes the old one's place.
            await here.ended.wait()
            if here.published:
                return Ack()
        if delivery.redelivered:
            # Not taken: a heartbeat that names it would say that it still runs.
            await self._finish(message, None, CUT_OFF)
            return Ack()
        with self.running.taken(key) as running:
            async with self.slots:
                with self.metrics.slot_seconds.time():
                    await self._run_unless_cancelled(message, running)
            running.published = True
        return Ack()

    async def _run_unless_cancelled(self, message: ChunkReady, running: RunningChunk) -> None:
        if running.cancelled:
            await self._finish(message, None, HANDED_BACK if running.handed_back else NOT_STARTED)
        else:
            await self._run(message, running)

    async def _run(self, message: ChunkReady, running: RunningChunk) -> None:
        running.begun = True
        streaming, started_at = StreamOutput(self.broker, message), self.clock.now()
        crash_point(CrashPoint.CHUNK_TAKEN, message.task_id)
        await self.broker.publish(self._started(message, started_at))
        crash_point(CrashPoint.CHUNK_STARTED_PUBLISHED, message.task_id)
        result = await self.execute(message, running, streaming)
        await streaming.close()
        crash_point(CrashPoint.CHUNK_EXECUTED, message.task_id)
        if running.handed_back and result.outcome is Outcome.CANCELLED:
            result = HANDED_BACK
        await self._finish(message, started_at, result)
        crash_point(CrashPoint.CHUNK_FINISHED_PUBLISHED, message.task_id)

    def _started(self, message: ChunkReady, started_at: datetime) -> ChunkStarted:
        return ChunkStarted(
            task_id=message.task_id,
            chunk_index=message.chunk_index,
            attempt=message.attempt,
            runner=self.runner,
            started_at=started_at,
            priority=message.priority,
            language=message.language,
            watcher=message.watcher,
        )

    async def _finish(self, message: ChunkReady, started_at: datetime | None, result: AttemptResult) -> None:
        finished = ChunkFinished(
            task_id=message.task_id,
            chunk_index=message.chunk_index,
            attempt=message.attempt,
            runner=self.runner,
            started_at=started_at,
            finished_at=self.clock.now(),
            result=result,
            language=message.language,
            alive=result is HANDED_BACK,
            watcher=message.watcher,
        )
        with self.metrics.unpublished.track_inprogress():
            await self._publish_whatever_it_takes(finished)
        self.metrics.count(finished)
        log.info(
            "chunk.finished",
            task_id=message.task_id,
            chunk_index=message.chunk_index,
            attempt=message.attempt,
            outcome=result.outcome,
        )

    async def _publish_whatever_it_takes(self, message: ChunkFinished) -> None:
        pause = 0.1
        while True:
            try:
                return await self.broker.publish(message)
            except (BrokerAwayError, UnroutableError) as error:
                log.warning("chunk.unpublished", task_id=message.task_id, error=str(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
