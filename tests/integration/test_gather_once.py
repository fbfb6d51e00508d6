"""A split task through two dispatchers that race, die between any two steps and hear everything late or twice.

The handlers, the timers, the rules, the store and the broker are the real ones; runners are played by the test. However
it goes, the task ends, and ends once: nothing is lost, nothing is counted twice, and the reduce reads each output once.
"""

import asyncio
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.dispatcher.main import make_parts
from services.dispatcher.on_chunk_started import OnChunkStarted
from services.dispatcher.on_task_cancelled import OnTaskCancelled
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.strategies.split import cut, share
from taskandgo.broker import topology
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition, Requeue
from taskandgo.broker.handling import decoded
from taskandgo.broker.memory import MemoryBroker, open_memory
from taskandgo.messages import (
    ChunkFinished,
    ChunkReady,
    ChunkStarted,
    Message,
    RunnerHeartbeat,
    TaskCancelled,
    TaskFinished,
    TaskSubmitted,
    decode,
)
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.database import Database
from taskandgo.store.reads import get_task
from taskandgo.store.records import Acceptance, Recorded, Submission, TaskRecord
from taskandgo.store.store import Store
from taskandgo.store.tables import chunk
from taskandgo.task import AttemptResult, Code, Lines, Retry, Split, TaskSpec, Usage
from taskandgo.words import ChunkState, Outcome, Priority, Strategy, TaskState

START = datetime(2026, 1, 2, tzinfo=UTC)
TASK_ID = "split"
RUNNER_QUEUE = topology.runner_chunk_ready("default")
MAIL = (
    topology.DISPATCHER_TASK_SUBMITTED,
    topology.DISPATCHER_CHUNK_STARTED,
    topology.DISPATCHER_CHUNK_FINISHED,
    topology.DISPATCHER_TASK_CANCELLED,
)
ENDS = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.COMPILE_FAILED, Outcome.OUT_OF_MEMORY, Outcome.TIMED_OUT)
#: After how many steps a dispatcher dies; None: it lives.
FUSES = st.none() | st.integers(0, 9)
NUMBERS = st.integers(0, 1000)


class Death(BaseException):
    """The process ends here; no handler of errors sees it."""


@dataclass
class Life:
    """How long a dispatcher has to live, and what it saw."""

    seen: list[Recorded]
    fuse: int | None = None
    dead: bool = False

    def step(self) -> None:
        """One step nearer to its death."""
        if self.fuse is not None:
            self.fuse -= 1
            self.dead = self.dead or self.fuse < 0
        if self.dead:
            raise Death


class Mortal:
    """A store or broker in the hands of a dispatcher that may die before and after each call."""

    def __init__(self, target: object, life: Life) -> None:
        self._target = target
        self._life = life

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not asyncio.iscoroutinefunction(value):
            return value

        async def step(*args: Any, **kwargs: Any) -> Any:
            self._life.step()
            answer = await value(*args, **kwargs)
            if isinstance(answer, Recorded):
                self._life.seen.append(answer)
            self._life.step()
            return answer

        return step


@dataclass
class SetClock:
    """A clock that tests set."""

    at: datetime = START

    def now(self) -> datetime:
        """The instant it is set to."""
        return self.at


class Dispatcher:
    """The parts of a dispatcher process, from its start to its death."""

    def __init__(self, own: DispatcherSettings, broker: Broker, store: Store, clock: SetClock, seen: list[Recorded]):
        self.life = Life(seen)
        mortal_broker = cast("Broker", Mortal(broker, self.life))
        mortal_store = cast("Store", Mortal(store, self.life))
        self.parts = make_parts(own, mortal_broker, mortal_store, clock)
        self.handlers: dict[str, Callable[[Delivery], Awaitable[Disposition]]] = {
            MAIL[0].name: decoded(self.parts.on_task_submitted, TaskSubmitted),
            MAIL[1].name: decoded(OnChunkStarted(mortal_broker, mortal_store), ChunkStarted),
            MAIL[2].name: decoded(self.parts.on_chunk_finished, ChunkFinished),
            MAIL[3].name: decoded(OnTaskCancelled(mortal_broker, mortal_store), TaskCancelled),
        }


@dataclass(eq=False)
class Letter:
    """A delivery that nobody has dealt with yet."""

    delivery: Delivery
    answer: asyncio.Future[Disposition]
    message: Message
    started: bool = False


@dataclass
class World:
    """Everything there is; made anew for each example."""

    folder: Path
    loop: asyncio.Runner
    stack: AsyncExitStack
    broker: MemoryBroker
    stores: list[Store]
    clock: SetClock = field(default_factory=SetClock)
    seen: list[Recorded] = field(default_factory=list)
    mail: list[Letter] = field(default_factory=list)
    ready: list[Letter] = field(default_factory=list)
    finished: list[TaskFinished] = field(default_factory=list)
    dispatchers: list[Dispatcher] = field(default_factory=list)

    @property
    def heartbeat(self) -> RunnerHeartbeat:
        """One runner with one slot, so that there is a window of two chunks."""
        own = {"runner": "r", "pool": "default", "slots": 1, "busy": 0, "languages": ["python"], "isolation": "none"}
        return RunnerHeartbeat(**own, sent_at=self.clock.now())

    def run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        """Do it, and let the broker hand out what came of it."""

        async def settled() -> Any:
            answer = await doing
            for _ in range(8):
                await asyncio.sleep(0)
            return answer

        return self.loop.run(settled())

    def start(self, who: int) -> Dispatcher:
        """A dispatcher process starts."""
        own = load(
            DispatcherSettings,
            broker_url="memory://",
            store_url="sqlite:///none",
            dispatcher_max_lost=2,
            dispatcher_return_seconds=0,
        )
        return Dispatcher(own, self.broker, self.stores[who], self.clock, self.seen)

    async def handle(self, letter: Letter, who: int, fuse: int | None, *, redelivered: bool = False) -> None:
        """A dispatcher handles a message; if it dies, the broker delivers the message again."""
        letter_answer: Disposition = Requeue()
        delivery = replace(letter.delivery, redelivered=redelivered or letter.delivery.redelivered)
        if await self.live(who, fuse, self.dispatchers[who].handlers[delivery.queue](delivery)):
            letter_answer = Ack()
        if not letter.answer.done():
            letter.answer.set_result(letter_answer)

    async def live(self, who: int, fuse: int | None, doing: Awaitable[object]) -> bool:
        """A dispatcher does something; False if it died over it, and another has taken its place."""
        dispatcher = self.dispatchers[who]
        dispatcher.life.fuse = fuse
        dispatcher.parts.pools.hear(self.heartbeat)
        try:
            await doing
        except Death:
            for _ in range(20):
                await asyncio.sleep(0)
            self.dispatchers[who] = self.start(who)
            return False
        return True


CHUNKS = select(chunk.c.chunk_index, chunk.c.state, chunk.c.outcome, chunk.c.attempt, chunk.c.duplicate)
TEMPLATE = Path(tempfile.mkdtemp()) / "empty.db"


async def build(loop: asyncio.Runner) -> World:
    """A broker, and an empty store that two dispatchers share."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    if not TEMPLATE.exists():
        async with open_store(f"sqlite:///{TEMPLATE}"):
            pass
    shutil.copy(TEMPLATE, folder / "store.db")
    stack = AsyncExitStack()
    broker = await stack.enter_async_context(open_memory())
    stores = [await stack.enter_async_context(_opened(f"sqlite:///{folder / 'store.db'}")) for _ in range(2)]
    world = World(folder, loop, stack, broker, stores)
    for queue, place in (*((queue, world.mail) for queue in MAIL), (RUNNER_QUEUE, world.ready)):
        await broker.consume(queue, _parked(place), prefetch=10_000)
    await broker.consume(topology.MONITOR_TASK_FINISHED, _collected(world.finished), prefetch=1)
    world.dispatchers = [world.start(0), world.start(1)]
    return world


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    database = Database(url)
    store = Store(database)
    yield store
    await store.drain()
    await database.close()


def _parked(place: list[Letter]) -> Callable[[Delivery], Awaitable[Disposition]]:
    async def park(delivery: Delivery) -> Disposition:
        letter = Letter(delivery, asyncio.get_running_loop().create_future(), decode(delivery.body))
        place.append(letter)
        try:
            return await letter.answer
        finally:
            place.remove(letter)

    return park


def _collected(into: list[TaskFinished]) -> Callable[[Delivery], Awaitable[Disposition]]:
    async def collect(delivery: Delivery) -> Disposition:
        into.append(cast("TaskFinished", decode(delivery.body)))
        return Ack()

    return collect


class GatherOnce(RuleBasedStateMachine):
    """What may happen to a split task."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.world: World = self.loop.run(build(self.loop))
        self.task: TaskSpec
        self.reopened = 0
        self.ended_by_hand = 0

    @initialize(
        elements=st.integers(1, 9),
        chunks=st.integers(1, 9),
        reduces=st.booleans(),
        least=st.integers(0, 9),
        attempts=st.integers(1, 3),
        seed=st.integers(0, 2**32),
    )
    def submit(
        self,
        *,
        elements: int,
        chunks: int,
        least: int,
        attempts: int,
        seed: int,
        reduces: bool,
    ) -> None:
        self.chance = random.Random(seed)
        text = b"".join(b"%d\n" % number for number in range(elements))
        reduce = Code(language="python", code="reduce") if reduces else None
        self.task = TaskSpec(
            task_id=TASK_ID,
            priority=Priority.NORMAL,
            language="python",
            code="cat",
            queued_at=START,
            strategy=Strategy.SPLIT,
            split=Split(chunks=chunks, by=Lines(text=text), reduce=reduce, min_succeeded=least),
            retry=Retry(max_attempts=attempts, backoff_seconds=10),
        )
        accepted = self.world.run(self.store.accept_task(Submission(task=self.task, content_hash=b"h")))
        assert accepted is Acceptance.ACCEPTED
        self.world.run(self.world.broker.publish(TaskSubmitted(task=self.task)))

    @rule(which=NUMBERS, who=st.integers(0, 1), fuse=FUSES)
    def a_dispatcher_handles_a_message(self, which: int, who: int, fuse: int | None) -> None:
        if self.world.mail:
            self.world.run(self.world.handle(_pick(self.world.mail, which), who, fuse))

    @rule(first=NUMBERS, second=NUMBERS, fuses=st.tuples(FUSES, FUSES))
    def two_dispatchers_race(self, first: int, second: int, fuses: tuple[int | None, int | None]) -> None:
        """Over two messages, or over one that each believes to be its own."""
        if not self.world.mail:
            return
        letters = [_pick(self.world.mail, which) for which in (first, second)]

        async def race() -> None:
            # The broker gives one message to a second dispatcher only when the first has lost its connection: then it
            # is marked as redelivered, and what the first still answers is not heard.
            if letters[0] is letters[1]:
                cut_off = self.world.dispatchers[0].handlers[letters[0].delivery.queue](letters[0].delivery)
                late = self.world.live(0, fuses[0], cut_off)
                await asyncio.gather(late, self.world.handle(letters[1], 1, fuses[1], redelivered=True))
            else:
                await asyncio.gather(*(self.world.handle(letters[who], who, fuses[who]) for who in (0, 1)))

        self.world.run(race())

    @rule(which=NUMBERS)
    def a_runner_starts_a_chunk(self, which: int) -> None:
        if self.world.ready:
            self._start(_pick(self.world.ready, which))

    @rule(which=NUMBERS, outcome=st.sampled_from(ENDS), times=st.integers(1, 3))
    def a_runner_ends_a_chunk(self, which: int, outcome: Outcome, times: int) -> None:
        if self.world.ready:
            self._end(_pick(self.world.ready, which), outcome, times)

    @rule(which=NUMBERS)
    def a_runner_dies(self, which: int) -> None:
        if self.world.ready:
            _pick(self.world.ready, which).answer.set_result(Requeue())
            self.world.run(asyncio.sleep(0))

    @rule(seconds=st.integers(1, 60), who=st.integers(0, 1), fuse=FUSES)
    def time_passes_and_timers_fire(self, seconds: int, who: int, fuse: int | None) -> None:
        self.world.clock.at += timedelta(seconds=seconds)
        timers = self.world.dispatchers[who].parts.timers
        self.world.run(self.world.live(who, fuse, timers.fire_due()))

    @rule()
    def both_fire_timers(self) -> None:
        async def race() -> None:
            await asyncio.gather(*(one.parts.timers.fire_due() for one in self.world.dispatchers))

        self.world.clock.at += timedelta(seconds=31)
        for dispatcher in self.world.dispatchers:
            dispatcher.life.fuse = None
        self.world.run(race())

    @rule(often=st.integers(0, 5))
    def a_client_cancels(self, often: int) -> None:
        if often:
            return
        was_open = not self._record().state.final
        record = self.world.run(self.store.cancel_task(TASK_ID, self.world.clock.now()))
        self.ended_by_hand += was_open
        if record.state is TaskState.CANCELLED:
            self._publish(TaskCancelled(task_id=TASK_ID, last_attempt=record.last_attempt))

    @rule()
    def a_client_retries(self) -> None:
        retried = self.world.run(self.store.retry_task(TASK_ID, self.world.clock.now()))
        if retried.task:
            self.reopened += 1
            self._publish(TaskSubmitted(task=retried.task))

    @invariant()
    def counts_are_true(self) -> None:
        if not hasattr(self, "task"):
            return
        record, rows = self._at_one_moment()
        states = Counter(row.state for row in rows)
        parts = [row for row in rows if row.chunk_index < record.chunk_count]
        ended = Counter(row.outcome == Outcome.SUCCEEDED for row in parts if row.state == ChunkState.FINISHED)
        assert record.chunks_succeeded == ended[True]
        if record.state.final:
            assert record.chunks_ready == record.chunks_running == 0
            assert states.keys() <= {ChunkState.FINISHED.value}
        else:
            assert (record.chunks_ready, record.chunks_running) == (states["ready"], states["running"])
            assert record.chunks_failed == ended[False]
        ends = sum(answer.newly_finished for answer in self.world.seen)
        assert ends + self.ended_by_hand - self.reopened == record.state.final

    def teardown(self) -> None:
        """The task ends, once, with every element accounted for."""
        try:
            if hasattr(self, "task"):
                self._drain()
                self._check_end()
        finally:
            self.loop.run(self.world.stack.aclose())
            self.loop.close()
            shutil.rmtree(self.world.folder)

    def _drain(self) -> None:
        """Play on, with deaths and failures at first, and then without any."""
        for turn in range(400):
            wild = turn < 120
            fuse = self.chance.randrange(10) if wild and self.chance.random() < 0.3 else None
            if self.world.mail:
                which = self.chance.randrange(1000)
                self.world.run(self.world.handle(_pick(self.world.mail, which), turn % 2, fuse))
            elif self.world.ready:
                self._play_runner(self.chance.choice(self.world.ready), wild=wild)
            elif self._record().state.final:
                return
            else:
                self.world.clock.at += timedelta(seconds=20)
                timers = self.world.dispatchers[turn % 2].parts.timers
                self.world.run(self.world.live(turn % 2, fuse, timers.fire_due()))
        raise AssertionError(f"the task never ends: {self._record()} {self._chunks()}")

    def _play_runner(self, letter: Letter, *, wild: bool) -> None:
        if not letter.started and self.chance.random() < 0.7:
            self._start(letter)
        elif wild and self.chance.random() < 0.3:
            self._end(letter, self.chance.choice(ENDS), 2)
        else:
            self._end(letter, Outcome.SUCCEEDED, 1)

    def _check_end(self) -> None:
        self.counts_are_true()
        record = self._record()
        assert self.world.finished
        assert self.world.finished[-1].state is record.state
        if record.state is not TaskState.SUCCEEDED:
            return
        split = self.task.split
        assert split is not None
        assert record.chunks_succeeded >= min(split.min_succeeded or record.chunk_count, record.chunk_count)
        assert record.result is not None
        there = [index for index in range(record.chunk_count) if index not in record.missing_chunks]
        assert len(there) == record.chunks_succeeded
        assert record.result.stdout == b"".join(self._share(index, record.chunk_count) for index in there)

    @property
    def store(self) -> Store:
        """The store as a client's ingest sees it."""
        return self.world.stores[0]

    def _record(self) -> TaskRecord:
        return cast("TaskRecord", self.world.run(self.store.get_task(TASK_ID)))

    def _chunks(self) -> list[Any]:
        return cast("list[Any]", self.world.run(self.store._database.read(lambda c: _all(c, CHUNKS))))

    def _at_one_moment(self) -> tuple[TaskRecord, list[Any]]:
        """The task and its chunks; what a dead dispatcher had begun may be committed between two reads."""

        async def read(connection: AsyncConnection) -> tuple[TaskRecord | None, list[Any]]:
            return await get_task(connection, TASK_ID), await _all(connection, CHUNKS)

        # As a writer: nobody else writes meanwhile.
        return cast("tuple[TaskRecord, list[Any]]", self.world.run(self.store._database.write(read)))

    def _publish(self, message: Message) -> None:
        self.world.run(self.world.broker.publish(message))

    def _start(self, letter: Letter) -> None:
        if letter.delivery.redelivered:
            return
        letter.started = True
        message = cast("ChunkReady", letter.message)
        self._publish(
            ChunkStarted(
                task_id=TASK_ID,
                chunk_index=message.chunk_index,
                attempt=message.attempt,
                runner="r",
                started_at=self.world.clock.now(),
            )
        )

    def _end(self, letter: Letter, wanted: Outcome, times: int) -> None:
        message = cast("ChunkReady", letter.message)
        # As a runner has it: what comes again is not run again.
        outcome = Outcome.LOST if letter.delivery.redelivered else wanted
        finished = ChunkFinished(
            task_id=TASK_ID,
            chunk_index=message.chunk_index,
            attempt=message.attempt,
            runner="r",
            started_at=self.world.clock.now() if letter.started else None,
            finished_at=self.world.clock.now(),
            result=AttemptResult(outcome=outcome, stdout=self._output(message), usage=Usage(wall_seconds=1.0)),
        )
        for _ in range(times):
            self._publish(finished)
        letter.answer.set_result(Ack())
        self.world.run(asyncio.sleep(0))

    def _output(self, message: ChunkReady) -> bytes:
        """What the code writes: what it reads; the reduce puts together what the chunks wrote."""
        if message.code == "cat":
            assert message.stdin == self._share(message.chunk_index, message.chunk_count)
            return message.stdin
        outputs = [json.loads(line) for line in message.stdin.splitlines()]
        indexes = [one["chunk_index"] for one in outputs]
        assert indexes == sorted(set(indexes))
        return "".join(one["stdout"] for one in outputs).encode()

    def _share(self, index: int, count: int) -> bytes:
        return share(cut(self.task), count, index).stdin


async def _all(connection: Any, statement: Any) -> list[Any]:
    return [*await connection.execute(statement)]


def _pick(letters: list[Letter], which: int) -> Letter:
    return letters[which % len(letters)]


TestGatherOnce = GatherOnce.TestCase
TestGatherOnce.settings = settings(
    max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", range(4))
def test_tasks_that_live_wildly_end_once(block: int) -> None:
    """The same life with dice that do not lean towards small numbers, as the search for small examples does."""
    for seed in range(40 * block, 40 * (block + 1)):
        dice = random.Random(seed)
        life = GatherOnce()
        chunks, elements, least = (dice.randint(1, 9) for _ in range(3))
        life.submit(
            elements=elements,
            chunks=chunks,
            least=least if dice.random() < 0.5 else 0,
            attempts=dice.randint(1, 3),
            seed=seed,
            reduces=dice.random() < 0.7,
        )
        for _ in range(20):
            _happen(life, dice)
            life.counts_are_true()
        life.teardown()


def _happen(life: GatherOnce, dice: random.Random) -> None:
    """Something happens: mostly messages and runs, now and then what is rare."""

    def number() -> int:
        return dice.randrange(1000)

    def fuse() -> int | None:
        return dice.randrange(10) if dice.random() < 0.4 else None

    happenings: dict[Callable[[], None], int] = {
        lambda: life.a_dispatcher_handles_a_message(number(), dice.randrange(2), fuse()): 8,
        lambda: life.two_dispatchers_race(number(), number(), (fuse(), fuse())): 4,
        lambda: life.a_runner_starts_a_chunk(number()): 6,
        lambda: life.a_runner_ends_a_chunk(number(), dice.choice(ENDS), dice.randint(1, 2)): 3,
        lambda: life.a_runner_ends_a_chunk(number(), Outcome.SUCCEEDED, dice.randint(1, 2)): 5,
        lambda: life.a_runner_dies(number()): 2,
        lambda: life.time_passes_and_timers_fire(dice.randint(1, 60), dice.randrange(2), fuse()): 3,
        life.both_fire_timers: 1,
        life.a_client_retries: 2,
        lambda: life.a_client_cancels(dice.randrange(3)): 1,
    }
    dice.choices([*happenings], [*happenings.values()])[0]()
