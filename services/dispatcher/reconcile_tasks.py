"""Runs when the broker is back, and now and then: sets going again what the store says is under way and nobody holds.

Promises: nothing is emitted twice that a queue or a runner still has; of several dispatchers one emits it; a sweep
reads a bounded number of tasks unless it finds that many are stranded, as after the broker has lost everything.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.dispatcher.claims import Believed, Claims, Key
from services.dispatcher.emit_chunks import EmitChunks
from services.dispatcher.lost_attempt import lost_attempt
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.on_chunk_finished import OnChunkFinished
from services.dispatcher.open_task import OpenTask as Open
from services.dispatcher.stranded import Line, Sight, served
from taskandgo.broker import topology
from taskandgo.broker.broker import Broker, Delivery
from taskandgo.clock import Clock
from taskandgo.errors import AwayError
from taskandgo.store.in_flight import Claim, Place
from taskandgo.store.records import InFlight, OpenTask
from taskandgo.store.store import Store
from taskandgo.words import ChunkState, Priority

PAGE = 500
#: What is handled within the time between looking at the queues and looking at the store.
MOST_UNREAD, LOOK_SECONDS = 500, 2.0
#: How long after the broker's return consumers and heartbeats may take to be back too.
RETURN_SECONDS = 3.0
#: How long an attempt that nobody has is remembered, should it not be seen again since it has ended.
REMEMBERED = timedelta(hours=1)
NOT_REPEATED = Delivery(body=b"", routing_key="", redelivered=False)

log = structlog.get_logger()


@dataclass(slots=True)
class ReconcileTasks:
    """Looks through the open tasks, a page at a time."""

    broker: Broker
    store: Store
    emit: EmitChunks
    open_task: Open
    on_chunk_finished: OnChunkFinished
    claims: Claims
    metrics: DispatcherMetrics
    clock: Clock
    grace: timedelta
    look_seconds: float = LOOK_SECONDS
    _returned: asyncio.Event = field(default_factory=asyncio.Event)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _places: dict[Priority, Place | None] = field(default_factory=dict)
    _pools: set[str] = field(default_factory=set)
    _served: dict[Line, datetime] = field(default_factory=dict)
    _missing: dict[Key, datetime] = field(default_factory=dict)

    def broker_is_back(self) -> None:
        """The connection was lost and is back: look soon whether the broker lost more than that."""
        self.claims.broker_is_back()
        self._missing.clear()
        self._places.clear()
        self._returned.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep while the context lasts."""
        self.broker.on_return(self.broker_is_back)
        sweeping = asyncio.get_running_loop().create_task(self._sweep_for_ever())
        try:
            yield
        finally:
            # Not cancelled: breaking into a transaction would cost its connection.
            self._stopped.set()
            self._returned.set()
            await sweeping

    async def _sweep_for_ever(self) -> None:
        while not self._stopped.is_set():
            pause = self.grace.total_seconds() / 2 * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
            is_back = await _comes(self._returned, pause)
            self._returned.clear()
            if is_back:
                await _comes(self._stopped, RETURN_SECONDS)
            try:
                await self.sweep(min(self.grace, timedelta(seconds=RETURN_SECONDS)) if is_back else self.grace)
            except AwayError as error:
                log.warning("reconcile.waiting", error=str(error))
            except Exception:
                # Nothing else would find what is stranded for as long as this process lives.
                log.exception("reconcile.failed")

    async def sweep(self, grace: timedelta) -> int:
        """Look once; how much was set going again. `grace` is how long a message may be on its way."""
        sight = await self._look(grace)
        if sight is None or await _comes(self._stopped, self.look_seconds):
            return 0
        revived = 0
        for priority in sorted(Priority, reverse=True):
            revived += await self._sweep_priority(priority, sight)
        self._missing = {key: since for key, since in self._missing.items() if sight.at - since < REMEMBERED}
        return revived

    async def _look(self, grace: timedelta) -> Sight | None:
        """The queues as they are now; None when so much is unread that the store lags behind."""
        unread = 0
        for queue in (topology.DISPATCHER_CHUNK_STARTED, topology.DISPATCHER_CHUNK_FINISHED):
            unread += await self.broker.depth(queue)
        if unread > MOST_UNREAD:
            return None
        submitted = await self.broker.depth(topology.DISPATCHER_TASK_SUBMITTED)
        queues = {pool: topology.runner_chunk_ready(pool) for pool in self._pools}
        waiting = {pool: await self.broker.depth(queue) for pool, queue in queues.items()}
        return Sight(self.clock.now(), grace, submitted, waiting, self._served)

    async def _sweep_priority(self, priority: Priority, sight: Sight) -> int:
        revived = 0
        while True:
            page = await self.store.open_tasks(priority, self._places.get(priority), PAGE)
            self._served = served(page, sight.at, self._served)
            self._pools |= {task.pool for task in page}
            found = await self._revive(page, sight)
            revived += found
            self._places[priority] = _end(page) if len(page) == PAGE else None
            if page and not found and sight.waiting.get(page[-1].pool) and not _begun(page[-1]):
                # From here on everything waits for its turn: what can be stranded is in front.
                self._places[priority] = None
            if not found or len(page) < PAGE or self._stopped.is_set():
                return revived

    async def _revive(self, page: Sequence[OpenTask], sight: Sight) -> int:
        believed = self.claims.believed()
        unopened = [task.task_id for task in page if sight.is_unopened(task)]
        chunks = [(task, chunk) for task in page for chunk in task.chunks]
        ready = [Claim(task.task_id, chunk) for task, chunk in chunks if _gone(task, chunk, sight, believed)]
        dead = [(task, chunk) for task, chunk in chunks if self._died(task, chunk, sight, believed)]
        if not (unopened or ready or dead):
            return 0
        counted = Counter(tasks=await self._open(unopened), chunks=await self._emit(ready))
        counted["attempts"] = await self._replace(dead)
        for kind, count in counted.items():
            self.metrics.revived.labels(kind).inc(count)
        if counted.total():
            log.warning("reconcile.revived", **counted)
        return counted.total()

    def _died(self, task: OpenTask, chunk: InFlight, sight: Sight, believed: Believed) -> bool:
        """Whether nobody has had any of the chunk's attempts for long, as far as runners tell."""
        if chunk.state is not ChunkState.RUNNING:
            return False
        key = _key(task, chunk, chunk.chunk.attempt)
        held = any(believed.has(_key(task, chunk, attempt), chunk.runner) for attempt in chunk.attempts)
        if held or task.pool not in believed.pools or not sight.was_taken(task, chunk):
            # For all that is known a runner has had it up to now.
            self._missing.pop(key, None)
            return False
        return sight.at - self._missing.setdefault(key, sight.at) >= self.grace

    async def _open(self, task_ids: Sequence[str]) -> int:
        for spec in (await self.store.load_specs(task_ids) if task_ids else {}).values():
            await self.open_task(spec, again=False)
        return len(task_ids)

    async def _emit(self, claims: Sequence[Claim]) -> int:
        if not claims:
            return 0
        claimed = await self.store.claim_chunks(claims, self.clock.now())
        specs = await self.store.load_specs(claimed.keys())
        await asyncio.gather(*(self.emit(task_id, claimed[task_id], spec) for task_id, spec in specs.items()))
        return sum(map(len, claimed.values()))

    async def _replace(self, dead: Sequence[tuple[OpenTask, InFlight]]) -> int:
        for task, chunk in dead:
            self._missing.pop(_key(task, chunk, chunk.chunk.attempt), None)
            for attempt in chunk.attempts:
                key = _key(task, chunk, attempt)
                lost = lost_attempt(key, self.clock.now(), "no runner has it, and no result came", alive=True)
                await self.on_chunk_finished(lost, NOT_REPEATED)
        return len(dead)


async def _comes(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event comes within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _gone(task: OpenTask, chunk: InFlight, sight: Sight, believed: Believed) -> bool:
    ready = chunk.state is ChunkState.READY and sight.left_queue(task, chunk)
    return ready and not believed.has(_key(task, chunk, chunk.chunk.attempt))


def _key(task: OpenTask, chunk: InFlight, attempt: int) -> Key:
    return task.task_id, chunk.chunk.chunk_index, attempt


def _end(page: Sequence[OpenTask]) -> Place:
    return page[-1].queued_at, page[-1].task_id


def _begun(task: OpenTask) -> bool:
    return any(chunk.state is ChunkState.RUNNING for chunk in task.chunks)
