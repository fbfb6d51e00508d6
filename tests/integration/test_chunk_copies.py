"""A runner that is handed an attempt more than once runs it once, and claims only what it has.

The broker is the one in memory; in place of a sandbox there is a count of what would have run.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.runner import running_chunks
from services.runner.metrics import RunnerMetrics
from services.runner.on_chunk_ready import OnChunkReady
from services.runner.running_chunks import Key, RunningChunk, RunningChunks
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.broker.memory import MemoryBroker, open_memory
from taskandgo.broker.topology import DISPATCHER_CHUNK_FINISHED
from taskandgo.clock import SystemClock
from taskandgo.messages import ChunkFinished, ChunkReady, Message, decode
from taskandgo.task import AttemptResult, Limits
from taskandgo.words import Outcome, Priority

SLOTS = 2
KEY: Key = ("task", 0, 1)
FIRST = Delivery(body=b"", routing_key="", redelivered=False)
AGAIN = Delivery(body=b"", routing_key="", redelivered=True)


@dataclass
class Runner:
    """The handler, what it needs, and what it has done."""

    broker: MemoryBroker
    running: RunningChunks = field(default_factory=RunningChunks)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SLOTS))
    executed: list[Key] = field(default_factory=list)
    told: list[ChunkFinished] = field(default_factory=list)

    async def execute(self, chunk: ChunkReady, _running: RunningChunk, _watch: object) -> AttemptResult:
        """Take a moment, in which others get their turn."""
        self.executed.append((chunk.task_id, chunk.chunk_index, chunk.attempt))
        await asyncio.sleep(0.05)
        return AttemptResult(outcome=Outcome.SUCCEEDED, exit_code=0)

    def handle(self, delivery: Delivery) -> asyncio.Task[Disposition]:
        """One delivery of the attempt."""
        execute: Any = self.execute
        handler = OnChunkReady(self.broker, execute, self.running, self.slots, "runner", SystemClock(), RunnerMetrics())
        return asyncio.ensure_future(handler(CHUNK, delivery))

    async def hear(self, delivery: Delivery) -> Disposition:
        """Take what is told to the dispatcher."""
        message = decode(delivery.body)
        assert isinstance(message, ChunkFinished)
        self.told.append(message)
        return Ack()


CHUNK = ChunkReady(
    task_id=KEY[0],
    chunk_index=KEY[1],
    chunk_count=1,
    attempt=KEY[2],
    priority=Priority.NORMAL,
    pool="default",
    language="python",
    code="",
    limits=Limits(),
)


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    async with open_memory() as broker:
        found = Runner(broker)
        await broker.consume(DISPATCHER_CHUNK_FINISHED, found.hear, prefetch=10)
        yield found


async def busy(runner: Runner) -> None:
    """Let nothing start until the slots are released."""
    for _ in range(SLOTS):
        await runner.slots.acquire()


async def free(runner: Runner) -> None:
    """Let what waits start."""
    await asyncio.sleep(0.05)
    for _ in range(SLOTS):
        runner.slots.release()


@pytest.mark.parametrize("second", [FIRST, AGAIN], ids=["emitted twice", "redelivered"])
async def test_of_two_copies_that_wait_for_a_slot_one_runs(runner: Runner, second: Delivery) -> None:
    await busy(runner)
    copies = [runner.handle(FIRST), runner.handle(second), runner.handle(second)]
    await free(runner)
    assert await asyncio.gather(*copies) == [Ack()] * len(copies)
    await asyncio.sleep(0.05)
    assert runner.executed == [KEY]
    assert [message.result.outcome for message in runner.told] == [Outcome.SUCCEEDED]
    assert not runner.running.held()


async def test_what_waits_is_handed_back_unstarted(runner: Runner) -> None:
    await busy(runner)
    waiting = runner.handle(FIRST)
    await asyncio.sleep(0.05)
    assert (runner.running.held(), len(runner.running)) == ([KEY], 0)
    runner.running.hand_back()
    await free(runner)
    await waiting
    await asyncio.sleep(0.05)
    assert [(message.result.outcome, message.alive) for message in runner.told] == [(Outcome.LOST, True)]
    assert not runner.executed


async def test_nobody_claims_to_have_what_is_reported_as_lost(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed, publish = asyncio.Event(), runner.broker.publish

    async def slowly(message: Message) -> None:
        await publish(message)
        await confirmed.wait()

    monkeypatch.setattr(runner.broker, "publish", slowly)
    reporting = runner.handle(AGAIN)
    await asyncio.sleep(0.05)
    assert [message.result.outcome for message in runner.told] == [Outcome.LOST]
    assert runner.running.held() == [], "the dispatcher would believe that it still runs"
    confirmed.set()
    assert await reporting == Ack()


async def test_a_cancelled_task_does_not_start_unless_that_was_long_ago(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.running.cancel_task(KEY[0], last_attempt=1)
    await runner.handle(FIRST)
    assert not runner.executed
    monkeypatch.setattr(running_chunks, "REMEMBERED_SECONDS", 0.0)
    await runner.handle(FIRST)
    assert runner.executed == [KEY], "a removed task's id may come again"
