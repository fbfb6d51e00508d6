"""What the pages show without asking the store: runners, running tasks, rates; fed from a queue of this monitor's own.

Promises: every monitor hears everything, however many there are; a task's events are bound only while somebody
looks at a page, and a while after, so that a dashboard nobody looks at costs the broker heartbeats alone; bounded
memory, however many tasks there are. What was missed while broker or store was away is made up for by itself.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from services.monitor.dashboard.history import History
from services.monitor.dashboard.running_tasks import RunningTasks
from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition, Reject, Subscription
from taskandgo.broker.topology import listener
from taskandgo.clock import Clock
from taskandgo.errors import BrokerAwayError, StoreAwayError, UndecodableError
from taskandgo.heard_runners import HeardRunners
from taskandgo.messages import ChunkOutput, ChunkStarted, Message, RunnerHeartbeat, TaskFinished, decode
from taskandgo.store.store import Store
from taskandgo.watchers import Watchers

HEARD_AT_ONCE = 500
KEYS = ("chunk.started.#", "task.finished.#")
#: How long the rates go on being counted when nobody looks any more: as long as the charts are.
LINGER_SECONDS = 900.0
#: How often, while somebody looks, what was missed is made up for.
HEAL_SECONDS = 5.0
#: How often the slots are counted, for their chart.
LOOK_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(slots=True)
class LiveEvents:
    """What has been heard; `count` goes up with every event."""

    broker: Broker
    store: Store
    clock: Clock
    runners: HeardRunners
    watchers: Watchers
    history: History = field(default_factory=History)
    running: RunningTasks = field(init=False)
    count: int = 0
    _slots_at: float = 0.0
    _lookers: int = 0
    _bound: bool = False
    #: How often events went unheard, and how many of these times have been made up for.
    _gaps: int = 1
    _closed_gaps: int = 0
    _to_heal: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False
    _subscription: Subscription | None = None
    _ending: asyncio.TimerHandle | None = None
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.running = RunningTasks(self.store, self.clock)

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Hear runners while the context lasts, and whatever `looking` asks for."""
        queue = listener(f"monitor.dashboard.{uuid.uuid4().hex}", "runner.heartbeat")
        self._subscription = await self.broker.consume(queue, self.on_event, prefetch=HEARD_AT_ONCE)
        self.watchers.subscription = self._subscription
        self.broker.on_return(self._returned)
        healing = asyncio.get_running_loop().create_task(self._keep_healing())
        try:
            yield
        finally:
            if self._ending:
                self._ending.cancel()
            self._stopping = True
            self._to_heal.set()
            await asyncio.gather(healing, *self._under_way)
            await self.watchers.stop()

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Hear what happens to tasks while the context lasts, and a while longer."""
        self._lookers += 1
        if self._ending:
            self._ending.cancel()
            self._ending = None
        try:
            await self._heal()
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
            self.running.started(message)
        elif isinstance(message, TaskFinished):
            self._finished(message, now)
        if isinstance(message, ChunkStarted | ChunkOutput | TaskFinished):
            self.watchers.pass_on(message)

    def _look_at_slots(self, now: float) -> None:
        # There may be thousands of runners, each with a heartbeat every other second.
        if now < self._slots_at + LOOK_SECONDS:
            return
        self._slots_at = now
        alive = [one for one in self.runners.all() if not one.is_silent(self.clock.now())]
        self.history.slots(now, sum(one.busy for one in alive), sum(one.slots for one in alive))

    def _finished(self, message: TaskFinished, now: float) -> None:
        self.history.finished(now, message.state)
        self.running.finished(message.task_id)
        if message.started_at:
            self.history.waits.append(max(0.0, (message.started_at - message.queued_at).total_seconds()))

    def _returned(self) -> None:
        """The broker was away, and events with it."""
        self._gaps += 1
        self._to_heal.set()

    async def _keep_healing(self) -> None:
        while not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._to_heal.wait(), HEAL_SECONDS)
            self._to_heal.clear()
            await self._heal()

    async def _heal(self) -> None:
        """While somebody looks, hear what happens to tasks, and make up for what was not heard."""
        async with self._changing:
            try:
                if self._lookers:
                    await self._bind()
                    await self._close_gaps()
                    await self.running.check()
            except (BrokerAwayError, StoreAwayError) as error:
                # The pages say that it is away; it is tried again soon.
                log.warning("dashboard.not_current", error=str(error))
            except Exception:
                log.exception("dashboard.not_healed")

    async def _bind(self) -> None:
        assert self._subscription is not None
        if not self._bound:
            await asyncio.gather(*map(self._subscription.bind, KEYS))
            self._bound = self.history.counting = True

    async def _close_gaps(self) -> None:
        # There may be one more while the store answers.
        gaps = self._gaps
        if gaps != self._closed_gaps:
            await self.running.catch_up()
            self._closed_gaps = gaps

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
            self._gaps += 1
            self.running.clear()
