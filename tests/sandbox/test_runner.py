"""Chunks through a whole runner: the real memory broker before it, real boxes behind it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.runner.main import serve
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.broker.memory import open_memory
from taskandgo.broker.topology import runner_chunk_ready
from taskandgo.messages import ChunkOutput, ChunkStarted, RunnerHeartbeat, TaskCancelled
from taskandgo.task import Limits
from taskandgo.words import Outcome
from tests.sandbox.runner_at_work import Running, at_work, hear, settings


@pytest.fixture
async def runner() -> AsyncIterator[Running]:
    """A runner at work."""
    async with at_work() as running:
        yield running


async def test_a_chunk_is_started_run_and_finished(runner: Running) -> None:
    finished = await runner.finished(await runner.submit("print(6 * 7)"))
    assert (finished.result.outcome, finished.result.stdout) == (Outcome.SUCCEEDED, b"42\n")
    assert (finished.result.exit_code, finished.result.usage.isolation) == (0, "strict")
    started = await runner.heard.first(lambda m: isinstance(m, ChunkStarted) and m.task_id == finished.task_id)
    assert isinstance(started, ChunkStarted)
    assert started.started_at == finished.started_at


@pytest.mark.parametrize(
    ("code", "outcome", "reason"),
    [
        ("raise SystemExit(7)", Outcome.FAILED, "exited with code 7"),
        ("import os; os.kill(os.getpid(), 11)", Outcome.KILLED, "ended by SIGSEGV"),
        ("import time; time.sleep(60)", Outcome.TIMED_OUT, "ran longer than its timeout of 1 s"),
    ],
)
async def test_every_end_has_its_outcome_and_reason(runner: Running, code: str, outcome: Outcome, reason: str) -> None:
    result = await runner.result(code, limits=Limits(timeout_seconds=1))
    assert (result.outcome, result.reason) == (outcome, reason)


async def test_who_writes_more_than_its_limit_is_ended(runner: Running) -> None:
    limits = Limits(timeout_seconds=60, output_bytes=1_000_000)
    result = await runner.result("while True: print('x' * 1000)", limits=limits)
    assert (result.outcome, result.reason) == (Outcome.OUTPUT_LIMIT, "wrote more than 1000000 bytes")


async def test_a_traceback_names_the_line(runner: Running) -> None:
    result = await runner.result("x = 1\nraise ValueError('here')")
    assert b'main.py", line 2' in result.stderr


async def test_the_code_is_told_who_it_is(runner: Running) -> None:
    code = (
        "import os; print(os.environ['TASK_ID'], os.environ['CHUNK_INDEX'], os.environ['ATTEMPT'], os.environ['OWN'])"
    )
    task_id = await runner.submit(code, env={"OWN": "mine", "TASK_ID": "forged"})
    assert (await runner.finished(task_id)).result.stdout.decode() == f"{task_id} 0 1 mine\n"


async def test_stdin_reaches_the_code(runner: Running) -> None:
    assert (await runner.result("print(input())", stdin=b"given\n")).stdout == b"given\n"


async def test_an_unknown_language_is_said(runner: Running) -> None:
    result = await runner.result("x", "cobol")
    assert result.outcome is Outcome.SANDBOX_ERROR
    assert "cobol" in result.reason


async def test_output_is_streamed_while_a_chunk_runs(runner: Running) -> None:
    task_id = await runner.submit("import sys; print('now'); sys.stdout.flush(); import time; time.sleep(30)")
    block = await runner.heard.first(lambda m: isinstance(m, ChunkOutput) and m.task_id == task_id)
    assert isinstance(block, ChunkOutput)
    assert (block.offset, block.data) == (0, b"now\n")
    await runner.broker.publish(TaskCancelled(task_id=task_id))
    await runner.finished(task_id)


async def test_a_cancel_ends_what_runs_within_a_second(runner: Running) -> None:
    task_id = await runner.submit("import time; time.sleep(60)")
    await runner.heard.first(lambda m: isinstance(m, ChunkStarted) and m.task_id == task_id)
    cancelled_at = time.monotonic()
    await runner.broker.publish(TaskCancelled(task_id=task_id))
    assert (await runner.finished(task_id)).result.outcome is Outcome.CANCELLED
    assert time.monotonic() - cancelled_at < 1


async def test_a_cancelled_chunk_that_still_waits_never_runs(runner: Running) -> None:
    blockers = [await runner.submit("import time; time.sleep(60)") for _ in range(2)]
    for blocker in blockers:
        await runner.heard.first(lambda m, b=blocker: isinstance(m, ChunkStarted) and m.task_id == b)  # type: ignore[misc]
    waiting = await runner.submit("print('ran')")
    for task_id in (waiting, *blockers):
        await runner.broker.publish(TaskCancelled(task_id=task_id))
    finished = await runner.finished(waiting)
    assert (finished.result.outcome, finished.result.stdout) == (Outcome.CANCELLED, b"")
    assert finished.started_at is None


async def test_what_a_drained_runner_hands_back_is_lost_without_a_death() -> None:
    async with open_memory() as broker:
        heard = await hear(broker)
        async with serve(settings(runner_drain_seconds=0), broker):
            running = Running(broker, heard)
            task_id = await running.submit("import time; time.sleep(60)")
            await heard.first(lambda m: isinstance(m, ChunkStarted) and m.task_id == task_id)
        assert await broker.depth(runner_chunk_ready("default")) == 0
        finished = await running.finished(task_id)
    assert (finished.result.outcome, finished.alive) == (Outcome.LOST, True)


async def test_what_a_dead_runner_had_is_reported_lost_not_run_again() -> None:
    taken = asyncio.Event()

    async def hold(_: Delivery) -> Disposition:
        taken.set()
        await asyncio.sleep(60)
        return Ack()

    async with open_memory() as broker:
        heard = await hear(broker)
        dying = await broker.consume(runner_chunk_ready("default"), hold, prefetch=1)
        task_id = await Running(broker, heard).submit("print(1)")
        await taken.wait()
        await dying.abandon()
        async with serve(settings(), broker):
            finished = await Running(broker, heard).finished(task_id)
    assert (finished.result.outcome, finished.started_at) == (Outcome.LOST, None)


async def test_a_runner_that_drains_finishes_what_it_runs() -> None:
    async with open_memory() as broker:
        heard = await hear(broker)
        async with serve(settings(), broker):
            task_id = await Running(broker, heard).submit("import time; time.sleep(0.5); print('done')")
            await heard.first(lambda m: isinstance(m, ChunkStarted) and m.task_id == task_id)
        finished = await Running(broker, heard).finished(task_id)
        await heard.first(lambda m: isinstance(m, RunnerHeartbeat) and m.draining)
    assert finished.result.stdout == b"done\n"
