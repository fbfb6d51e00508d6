"""Runs because a chunk may start here: executes it, publishes its result, and only then acks.

Promises: a redelivered chunk is never run as the same attempt; at most `slots` chunks run, whatever the
broker hands over; a result is published however long the broker is away.
"""

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.runner.execute_chunk import ExecuteChunk
from services.runner.metrics import RunnerMetrics
from services.runner.running_chunks import Key, RunningChunks
from services.runner.stream_output import StreamOutput
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.errors import BrokerAwayError, UnroutableError
from taskandgo.messages import ChunkFinished, ChunkReady, ChunkStarted
from taskandgo.task import AttemptResult
from taskandgo.words import Outcome

LONGEST_PAUSE_SECONDS = 5.0
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
        with self.running.taken(key):
            return await self._handle(message, delivery, key)

    async def _handle(self, message: ChunkReady, delivery: Delivery, key: Key) -> Disposition:
        if here := self.running.get(key):
            # Redelivered after a lost connection, while the run goes on: this delivery takes the old one's place.
            await here.ended.wait()
            if here.published:
                return Ack()
        if delivery.redelivered:
            lost = AttemptResult(outcome=Outcome.LOST, reason="its runner died, or was cut off before it started")
            await self._finish(message, None, lost)
        else:
            async with self.slots:
                with self.metrics.slot_seconds.time():
                    await self._run_unless_cancelled(message, key)
        return Ack()

    async def _run_unless_cancelled(self, message: ChunkReady, key: Key) -> None:
        if self.running.is_cancelled(key):
            cancelled = AttemptResult(outcome=Outcome.CANCELLED, reason="it was cancelled before it started")
            await self._finish(message, None, cancelled)
        else:
            await self._run(message, key)

    async def _run(self, message: ChunkReady, key: Key) -> None:
        running, streaming = self.running.begin(key), StreamOutput(self.broker, message)
        started_at = self.clock.now()
        try:
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
            running.published = True
        finally:
            self.running.end(key)

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
