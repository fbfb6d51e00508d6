"""What the pages show without asking the store: runners, running tasks, rates; fed from a queue of this monitor's own.

Promises: every monitor hears everything, however many there are; a task's events are bound only while somebody
looks at a page, and a while after, so that a dashboard nobody looks at costs the broker heartbeats alone; bounded
memory, however many tasks there are.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from services.monitor.dashboard.history import History
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition, Reject, Subscription
from taskandgo.broker.topology import listener
from taskandgo.clock import Clock
from taskandgo.errors import BrokerAwayError, StoreAwayError, UndecodableError
from taskandgo.heard_runners import HeardRunners
from taskandgo.messages import ChunkOutput, ChunkStarted, Message, RunnerHeartbeat, TaskFinished, decode
from taskandgo.store.records import TaskRecord
from taskandgo.store.store import Store
from taskandgo.task import Value
from taskandgo.watchers import Watchers

HEARD_AT_ONCE = 500
KEYS = ("chunk.started.#", "task.finished.#")
#: How long the rates go on being counted when nobody looks any more: as long as the charts are.
LINGER_SECONDS = 900.0
MOST_RUNNING = 10_000
#: How often the slots are counted, for their chart.
LOOK_SECONDS = 1.0

log = structlog.get_logger()


class RunningTask(Value, frozen=True):
    """A task that runs, by its newest attempt; `runner` is "" when that began before this monitor listened."""

    task_id: str
    priority: str
    language: str
    started_at: datetime
    runner: str = ""


@dataclass(slots=True)
class LiveEvents:
    """What has been heard; `count` goes up with every event."""

    broker: Broker
    store: Store
    clock: Clock
    runners: HeardRunners
    watchers: Watchers
    history: History = field(default_factory=History)
    running: dict[str, RunningTask] = field(default_factory=dict)
    count: int = 0
    _slots_at: float = 0.0
    _lookers: int = 0
    _bound: bool = False
    _subscription: Subscription | None = None
    _ending: asyncio.TimerHandle | None = None
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Hear runners while the context lasts, and whatever `looking` asks for."""
        queue = listener(f"monitor.dashboard.{uuid.uuid4().hex}", "runner.heartbeat")
        self._subscription = await self.broker.consume(queue, self.on_event, prefetch=HEARD_AT_ONCE)
        self.watchers.subscription = self._subscription
        try:
            yield
        finally:
            if self._ending:
                self._ending.cancel()
            await asyncio.gather(*self._under_way)
            await self.watchers.stop()

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Hear what happens to tasks while the context lasts, and a while longer."""
        self._lookers += 1
        if self._ending:
            self._ending.cancel()
            self._ending = None
        try:
            await self._bind()
            yield
        finally:
            self._lookers -= 1
            if not self._lookers:
                self._ending = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._end)

    async def on_event(self, delivery: Delivery) -> Disposition:
        """Take up a RunnerHeartbeat, or an event of a task."""
        try:
            message = decode(delivery.body)
        except UndecodableError as error:
            return Reject(str(error))
        self._take_up(message)
        return Ack()

    def _take_up(self, message: Message) -> None:
        now = self.clock.now().timestamp()
        if isinstance(message, RunnerHeartbeat):
            self.runners.hear(message)
            self._look_at_slots(now)
            return
        self.count += 1
        if isinstance(message, ChunkStarted):
            self._started(message)
        elif isinstance(message, TaskFinished):
            self._finished(message, now)
        if isinstance(message, ChunkStarted | ChunkOutput | TaskFinished):
            self.watchers.pass_on(message)

    def _started(self, message: ChunkStarted) -> None:
        before = self.running.get(message.task_id)
        if before is None and len(self.running) >= MOST_RUNNING:
            return
        started_at = before.started_at if before else message.started_at
        self.running[message.task_id] = RunningTask(
            task_id=message.task_id,
            priority=message.priority.word,
            language=message.language,
            started_at=started_at,
            runner=message.runner,
        )

    def _look_at_slots(self, now: float) -> None:
        # There may be thousands of runners, each with a heartbeat every other second.
        if now < self._slots_at + LOOK_SECONDS:
            return
        self._slots_at = now
        alive = [one for one in self.runners.all() if not one.is_silent(self.clock.now())]
        self.history.slots(now, sum(one.busy for one in alive), sum(one.slots for one in alive))

    def _finished(self, message: TaskFinished, now: float) -> None:
        self.history.finished(now, message.state)
        self.running.pop(message.task_id, None)
        if message.started_at:
            self.history.waits.append(max(0.0, (message.started_at - message.queued_at).total_seconds()))

    async def _bind(self) -> None:
        async with self._changing:
            if self._bound:
                return
            assert self._subscription is not None
            try:
                await asyncio.gather(*map(self._subscription.bind, KEYS))
                self._bound = self.history.counting = True
                for record in await self.store.running_tasks():
                    self.running.setdefault(record.task_id, _running(record))
            except (BrokerAwayError, StoreAwayError) as error:
                # The pages say that it is away, and each new look tries again.
                log.warning("dashboard.without_events", error=str(error))

    def _end(self) -> None:
        task = asyncio.get_running_loop().create_task(self._unbind())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _unbind(self) -> None:
        async with self._changing:
            if self._lookers or not self._bound:
                return
            assert self._subscription is not None
            try:
                await asyncio.gather(*map(self._subscription.unbind, KEYS))
            except BrokerAwayError as error:
                log.warning("dashboard.not_unbound", error=str(error))
            self._bound = self.history.counting = False
            self.running.clear()


def _running(record: TaskRecord) -> RunningTask:
    started_at = record.started_at or record.queued_at
    return RunningTask(
        task_id=record.task_id, priority=record.priority.word, language=record.language, started_at=started_at
    )
