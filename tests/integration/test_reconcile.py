"""What no queue and no runner holds any more goes on by itself: the broker has lost everything, or one message.

The dispatchers, the runner, the store and the RabbitMQ are real; what code did is told by the files it leaves.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.dispatcher.main import make_parts
from services.dispatcher.main import serve as serve_dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.runner.main import serve as serve_runner
from services.runner.settings import RunnerSettings
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.broker.connect import open_broker
from taskandgo.broker.memory import open_memory
from taskandgo.broker.topology import runner_chunk_ready
from taskandgo.clock import SystemClock
from taskandgo.messages import RunnerHeartbeat, TaskSubmitted
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.records import Submission, TaskRecord
from taskandgo.store.store import Store
from taskandgo.task import Code, Lines, Split, TaskSpec
from taskandgo.words import Priority, Strategy, TaskState
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import PrivateNode, fresh_vhost, private_node

ADD_UP = "import json, sys\nprint(sum(int(json.loads(line)['stdout']) for line in sys.stdin))"
COUNT = "import sys\nprint(len(sys.stdin.read().splitlines()))"
PATIENCE_SECONDS = 60.0
GRACE = timedelta(seconds=20)


class MovedClock(SystemClock):
    """The time goes by as the test says."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        """So much later than it is."""
        return super().now() + self.ahead


class SlowClock(SystemClock):
    """For what happened a while ago."""

    def now(self) -> datetime:
        """A while ago."""
        return super().now() - 2 * GRACE


@pytest.fixture(scope="module")
def node() -> Iterator[PrivateNode]:
    with private_node() as started:
        yield started


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    async with open_store(fresh_database(postgres_url)) as opened:
        yield opened


@asynccontextmanager
async def dispatcher(url: str, store: Store, **asked: Any) -> AsyncIterator[Broker]:
    own = {"dispatcher_http_listen": "", "store_url": "sqlite:///none", "dispatcher_stranded_seconds": 3} | asked
    settings = load(DispatcherSettings, broker_url=url, **own)
    async with open_broker(settings) as broker, serve_dispatcher(settings, broker, store):
        yield broker


@asynccontextmanager
async def runner(url: str, name: str, slots: int = 2, drain_seconds: float = 30.0) -> AsyncIterator[Broker]:
    own = {"runner_http_listen": "", "runner_slots": slots, "runner_name": name, "runner_heartbeat_seconds": 0.5}
    settings = load(RunnerSettings, broker_url=url, runner_drain_seconds=drain_seconds, **own)
    async with open_broker(settings) as broker, serve_runner(settings, broker):
        yield broker


async def accept(store: Store, **asked: Any) -> TaskSpec:
    fields = {"priority": Priority.NORMAL, "language": "python", "code": "print(1)", "queued_at": datetime.now(UTC)}
    spec = TaskSpec(task_id=uuid4().hex, **fields | asked)
    await store.accept_task(Submission(task=spec, content_hash=b"h"))
    await store.confirm_published(spec.task_id, "task.submitted")
    return spec


async def end_of(store: Store, task_id: str) -> TaskRecord:
    return await reaches(store, task_id, {state for state in TaskState if state.final})


async def reaches(store: Store, task_id: str, states: Collection[TaskState]) -> TaskRecord:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            record = await store.get_task(task_id)
            if record and record.state in states:
                return record
            await asyncio.sleep(0.05)


def stdout(record: TaskRecord) -> bytes:
    assert record.result is not None
    return record.result.stdout


async def goes_astray(broker: Broker) -> None:
    """Lose the next message that runners would get."""
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def lose(_: Delivery) -> Disposition:
        lost.set_result(None)
        return Ack()

    subscription = await broker.consume(runner_chunk_ready("default"), lose, prefetch=1)
    await lost
    await subscription.stop()


async def test_all_finish_after_the_broker_lost_everything(node: PrivateNode, store: Store, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(dispatcher(node.url, store))
        await stack.enter_async_context(dispatcher(node.url, store))
        await stack.enter_async_context(runner(node.url, "one"))
        long = await accept(store, code="import time; time.sleep(4); print('long')")
        await broker.publish(TaskSubmitted(task=long))
        await reaches(store, long.task_id, {TaskState.RUNNING})
        text = b"".join(b"%d\n" % number for number in range(1000))
        reduce = Code(language="python", code=ADD_UP)
        split = await accept(
            store, code=COUNT, strategy=Strategy.SPLIT, split=Split(chunks=20, by=Lines(text=text), reduce=reduce)
        )
        queued = [await accept(store, code="import time; time.sleep(0.1)") for _ in range(20)]
        for spec in (split, *queued):
            await broker.publish(TaskSubmitted(task=spec))
        unopened = [await accept(store, priority=priority) for priority in Priority]
        await end_of(store, queued[0].task_id)

        node.kill()
        node.forget_everything()
        await asyncio.to_thread(node.start)

        ended = [await end_of(store, spec.task_id) for spec in (long, split, *queued, *unopened)]
    assert [record.state for record in ended] == [TaskState.SUCCEEDED] * 26
    assert (ended[0].attempt, stdout(ended[0])) == (1, b"long\n"), "its run was thrown away"
    assert stdout(ended[1]) == b"1000\n"


async def test_nothing_is_emitted_twice_that_waits_in_a_queue_or_runs(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    async with dispatcher(url, store, dispatcher_stranded_seconds=1) as broker, dispatcher(url, store):
        specs = [await accept(store, code="import time; time.sleep(1.5)") for _ in range(6)]
        for spec in specs:
            await broker.publish(TaskSubmitted(task=spec))
        # With nobody to run them, they wait; then they run, longer than what is waited for.
        await asyncio.sleep(4)
        assert await broker.depth(runner_chunk_ready("default")) == len(specs)
        async with runner(url, "one"):
            for spec in specs:
                assert (await end_of(store, spec.task_id)).attempt == 1
            await asyncio.sleep(4)
            assert await broker.depth(runner_chunk_ready("default")) == 0


async def test_of_many_that_find_a_lost_chunk_one_emits_it(rabbitmq_url: str, store: Store) -> None:
    url = fresh_vhost(rabbitmq_url)
    settings = load(DispatcherSettings, broker_url=url, store_url="sqlite:///none")
    async with AsyncExitStack() as stack:
        brokers = [await stack.enter_async_context(open_broker(settings)) for _ in range(3)]
        await brokers[0].declare(runner_chunk_ready("default"))
        sweepers = [make_parts(settings, broker, store, SystemClock()).reconcile for broker in brokers]
        spec = await accept(store)
        await make_parts(settings, brokers[0], store, SlowClock()).reconcile.open_task(spec, again=False)
        await goes_astray(brokers[0])
        for sweeper in sweepers:
            sweeper.look_seconds = 0.1
            assert await sweeper.sweep(GRACE) == 0, "it looked before it knew the queue"
        assert sum(await asyncio.gather(*(sweeper.sweep(GRACE) for sweeper in sweepers))) == 1
        assert await brokers[0].depth(runner_chunk_ready("default")) == 1


async def test_a_pool_that_nobody_heard_of_for_a_while_is_given_its_time_again(store: Store) -> None:
    clock = MovedClock()
    async with open_memory() as broker:
        settings = load(DispatcherSettings, store_url="sqlite:///none")
        reconcile = make_parts(settings, broker, store, clock).reconcile
        reconcile.look_seconds = 0.0
        spec = await accept(store)
        await reconcile.open_task(spec, again=False)
        await store.start_chunk(spec.task_id, 0, 1, "silent", clock.now())

        async def revived(after_seconds: float, *, heard: bool = True) -> int:
            clock.ahead = timedelta(seconds=after_seconds)
            if heard:
                reconcile.claims.hear(of_another(clock.now()))
            return await reconcile.sweep(GRACE)

        assert await revived(0) == 0, "it is missing for the first time"
        assert await revived(15, heard=False) == 0
        assert await revived(25) == 0, "its runner may come back a moment later than the others"
        assert await revived(46) == 1


def of_another(sent_at: datetime) -> RunnerHeartbeat:
    known = {"pool": "default", "slots": 1, "busy": 0, "languages": ["python"], "isolation": "strict"}
    return RunnerHeartbeat(runner="another", sent_at=sent_at, running=[], **known)  # type: ignore[arg-type]
