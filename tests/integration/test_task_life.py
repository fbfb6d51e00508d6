"""Tasks through a whole dispatcher and a whole runner: cut, retried, overtaken, expired, delayed, gathered, run again.

The broker, the store and the boxes are real; a task is put in as ingest does it.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from services.dispatcher.main import serve as serve_dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.runner.main import serve as serve_runner
from services.runner.settings import RunnerSettings
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.broker.memory import MemoryBroker, open_memory
from taskandgo.broker.topology import MONITOR_TASK_FINISHED, listener
from taskandgo.messages import ChunkFinished, ChunkStarted, TaskCancelled, TaskFinished, TaskSubmitted, decode
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.records import ChunkFilter, Submission, TaskRecord
from taskandgo.store.store import Store
from taskandgo.task import Code, Items, Lines, Range, Retry, Split, TaskSpec
from taskandgo.words import Outcome, Priority, Strategy, TaskState

RANGE_SUM = """
import os
print(sum(range(int(os.environ["RANGE_START"]), int(os.environ["RANGE_STOP"]), int(os.environ["RANGE_STEP"]))))
"""
ADD_UP = """
import json, sys
print(sum(int(json.loads(line)["stdout"]) for line in sys.stdin))
"""
FAILS_FIRST = """
import os, sys
print(os.environ["CHUNK_INDEX"])
sys.exit(os.environ["ATTEMPT"] == "1" and os.environ["CHUNK_INDEX"] in ("1", "3"))
"""
HANGS_FIRST = """
import os, time
if os.environ["ATTEMPT"] == "1" and os.environ["CHUNK_INDEX"] == "2":
    time.sleep(50)
print(os.environ["CHUNK_INDEX"], os.environ["ATTEMPT"])
"""


@dataclass
class Life:
    """A dispatcher, a runner with two slots, and what is heard of tasks."""

    store: Store
    broker: MemoryBroker
    finished: dict[str, asyncio.Future[TaskFinished]] = field(default_factory=dict)
    started: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    ended: asyncio.Queue[tuple[str, int, int, Outcome]] = field(default_factory=asyncio.Queue)

    async def on_chunk_started(self, delivery: Delivery) -> Disposition:
        """Remember of which task it is."""
        message = decode(delivery.body)
        assert isinstance(message, ChunkStarted)
        self.started.put_nowait(message.task_id)
        return Ack()

    async def on_chunk_finished(self, delivery: Delivery) -> Disposition:
        """Remember how which attempt ended."""
        message = decode(delivery.body)
        assert isinstance(message, ChunkFinished)
        self.ended.put_nowait((message.task_id, message.chunk_index, message.attempt, message.result.outcome))
        return Ack()

    async def on_task_finished(self, delivery: Delivery) -> Disposition:
        """Remember the end."""
        message = decode(delivery.body)
        assert isinstance(message, TaskFinished)
        future = self.end_of(message.task_id)
        if not future.done():
            future.set_result(message)
        return Ack()

    def end_of(self, task_id: str) -> asyncio.Future[TaskFinished]:
        """Where the end of a task will be."""
        return self.finished.setdefault(task_id, asyncio.get_running_loop().create_future())

    async def submit(self, code: str, **asked: object) -> str:
        """Accept a task and announce it; its id."""
        known = {"priority": Priority.NORMAL, "language": "python", "queued_at": datetime.now(UTC)}
        fields = {"task_id": uuid4().hex, "code": code, "strategy": Strategy.SPLIT, **known, **asked}
        task = TaskSpec(**fields)  # type: ignore[arg-type]
        await self.store.accept_task(Submission(task=task, content_hash=b"h"))
        await self.broker.publish(TaskSubmitted(task=task))
        return task.task_id

    async def result(self, task_id: str) -> TaskRecord:
        """The task once it has finished."""
        async with asyncio.timeout(40):
            await self.end_of(task_id)
        record = await self.store.get_task(task_id)
        assert record is not None
        return record

    async def run(self, code: str, **asked: object) -> TaskRecord:
        """Submit and wait."""
        return await self.result(await self.submit(code, **asked))


@pytest.fixture(scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Life]:
    """Both services on one broker and one store."""
    folder: Path = tmp_path_factory.mktemp("life")
    url = f"sqlite:///{folder / 'store.db'}"
    dispatcher = load(
        DispatcherSettings,
        broker_url="memory://",
        store_url=url,
        dispatcher_http_listen="",
        dispatcher_straggler_least_seconds=1.0,
    )
    runner = load(
        RunnerSettings,
        broker_url="memory://",
        runner_http_listen="",
        runner_slots=2,
        runner_heartbeat_seconds=0.5,
    )
    async with open_store(url) as store, open_memory() as broker:
        life = Life(store, broker)
        await broker.consume(listener("started", "chunk.started.#"), life.on_chunk_started, prefetch=100)
        await broker.consume(listener("ended", "chunk.finished"), life.on_chunk_finished, prefetch=100)
        await broker.consume(MONITOR_TASK_FINISHED, life.on_task_finished, prefetch=100)
        async with serve_dispatcher(dispatcher, broker, store), serve_runner(runner, broker):
            yield life


def stdout(record: TaskRecord) -> str:
    assert record.result is not None
    return record.result.stdout.decode()


async def test_lines_go_out_and_come_back_in_order(life: Life) -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    code = "import sys; sys.stdout.write(sys.stdin.read())"
    record = await life.run(code, split=Split(by=Lines(text=text.encode())))
    assert (record.state, stdout(record)) == (TaskState.SUCCEEDED, text)
    assert record.chunk_count == record.chunks_succeeded > 1


async def test_items_are_one_value_a_line(life: Life) -> None:
    code = "import json, sys; print(*[json.loads(line)['n'] for line in sys.stdin], sep='\\n')"
    record = await life.run(code, split=Split(chunks=3, by=Items(json=[f'{{"n": {n}}}' for n in range(7)])))
    assert stdout(record).split() == [str(n) for n in range(7)]


async def test_a_range_is_summed_by_a_reduce(life: Life) -> None:
    reduce = Code(language="python", code=ADD_UP)
    record = await life.run(RANGE_SUM, split=Split(chunks=9, by=Range(start=5, stop=1000, step=7), reduce=reduce))
    assert (record.state, stdout(record)) == (TaskState.SUCCEEDED, f"{sum(range(5, 1000, 7))}\n")


async def test_a_reduce_that_fails_fails_the_task_and_runs_again_alone(life: Life) -> None:
    reduce = Code(language="python", code="import os, sys; sys.exit(os.environ['ATTEMPT'] == '1')")
    record = await life.run("print(1)", split=Split(chunks=3, reduce=reduce))
    assert (record.state, record.chunks_succeeded) == (TaskState.FAILED, 3)
    life.finished.pop(record.task_id)
    retried = await life.store.retry_task(record.task_id, datetime.now(UTC))
    assert retried is not None
    assert retried.task is not None
    await life.broker.publish(TaskSubmitted(task=retried.task))
    assert (await life.result(record.task_id)).state is TaskState.SUCCEEDED
    chunks = await life.store.list_chunks(ChunkFilter(task_id=record.task_id))
    assert chunks is not None
    assert [chunk.attempt for chunk in chunks] == [1, 1, 1, 2]


async def test_chunks_that_fail_are_retried_by_themselves(life: Life) -> None:
    retry = Retry(max_attempts=2, backoff_seconds=0.2)
    record = await life.run(FAILS_FIRST, split=Split(chunks=5), retry=retry)
    assert (record.state, stdout(record)) == (TaskState.SUCCEEDED, "0\n1\n2\n3\n4\n")
    chunks = await life.store.list_chunks(ChunkFilter(task_id=record.task_id))
    assert chunks is not None
    assert [chunk.attempt for chunk in chunks] == [1, 2, 1, 2, 1]


async def test_a_chunk_that_hangs_is_overtaken_and_killed(life: Life) -> None:
    record = await life.run(HANGS_FIRST, split=Split(chunks=8))
    assert stdout(record) == "".join(f"{index} {2 if index == 2 else 1}\n" for index in range(8))
    async with asyncio.timeout(20):
        while await life.ended.get() != (record.task_id, 2, 1, Outcome.CANCELLED):
            pass


async def test_a_task_starts_at_its_time(life: Life) -> None:
    not_before = datetime.now(UTC) + timedelta(seconds=1)
    record = await life.run("print(1)", not_before=not_before)
    assert record.started_at is not None
    assert timedelta() <= record.started_at - not_before < timedelta(seconds=3)


async def test_a_task_that_nobody_starts_in_time_expires(life: Life) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=0.5)
    record = await life.run("print(1)", pool="nobody", deadline=deadline)
    assert (record.state, record.result) == (TaskState.EXPIRED, None)


async def test_a_cancelled_task_stops_everywhere_and_can_run_again(life: Life) -> None:
    code = "import os, time; time.sleep(30 if int(os.environ['ATTEMPT']) == 1 else 0); print(1)"
    task_id = await life.submit(code, split=Split(chunks=20))
    running = 0
    async with asyncio.timeout(20):
        while running < 2:
            running += await life.started.get() == task_id
    cancelled = await life.store.cancel_task(task_id, datetime.now(UTC))
    assert cancelled is not None
    await life.broker.publish(TaskCancelled(task_id=task_id, last_attempt=cancelled.last_attempt))
    assert (await life.result(task_id)).state is TaskState.CANCELLED
    life.finished.pop(task_id)
    retried = await life.store.retry_task(task_id, datetime.now(UTC))
    assert retried is not None
    assert retried.task is not None
    await life.broker.publish(TaskSubmitted(task=retried.task))
    again = await life.result(task_id)
    assert (again.state, stdout(again)) == (TaskState.SUCCEEDED, "1\n" * 20)


async def test_with_too_few_successes_the_task_fails_and_tells_which(life: Life) -> None:
    code = "import os, sys; sys.exit(int(os.environ['CHUNK_INDEX']) % 2)"
    record = await life.run(code, split=Split(chunks=6, min_succeeded=4))
    assert record.result is not None
    assert (record.state, record.result.outcome) == (TaskState.FAILED, Outcome.FAILED)
    assert list(record.missing_chunks) == [1, 3, 5]
