"""How many tasks may be queued at a time, in all and of each tenant; whoever comes beyond is told to come again.

Promises: an ingest by itself never lets more in; several may pass the bound by what the others let in since
the last count. Nothing is counted for a single task: the store counts about once a second, and what was
accepted since is added.
"""

import asyncio
from collections import Counter

import structlog

from taskandgo.rpc.refusal import RefusalError, exhausted
from taskandgo.store.store import Store
from taskandgo.task import TaskSpec

#: The label that says whose task it is.
TENANT = "tenant"
#: What all tasks are counted under; a tenant has a name.
ALL = ""
COUNT_SECONDS = 1.0
#: Counting may take this part of the time, however many tasks there are.
COUNTING_SHARE = 20

log = structlog.get_logger()


class Admission:
    """Lets tasks in while there is room; a bound of 0 is none."""

    def __init__(self, store: Store, most: int, most_per_tenant: int) -> None:
        self._store = store
        self._most = most
        self._most_per_tenant = most_per_tenant
        self._counted: Counter[str] = Counter()
        self._accepted_since: Counter[str] = Counter()
        self._on_the_way: Counter[str] = Counter()
        self._good_until = float("-inf")
        self._counting: asyncio.Task[None] | None = None
        self._held: dict[str, str] = {}

    async def admit(self, task: TaskSpec, *, patient: bool = False) -> None:
        """Let the task in; RESOURCE_EXHAUSTED if there is no room, unless the caller is patient: then wait for it.

        Whoever was let in calls `settle` afterwards.
        """
        tenant = task.labels.get(TENANT, ALL)
        if self._most or self._most_per_tenant:
            try:
                await self._wait_for_room(task.task_id, tenant, patient=patient)
            finally:
                self._held.pop(task.task_id, None)
        self._on_the_way.update({ALL, tenant})

    def settle(self, task: TaskSpec, *, accepted: bool) -> None:
        """The store has, or has not, accepted a task that was let in."""
        keys = {ALL, task.labels.get(TENANT, ALL)}
        self._on_the_way.subtract(keys)
        for key in keys:
            # Names come from clients, and none may stay for ever.
            if not self._on_the_way[key]:
                del self._on_the_way[key]
        if accepted and (self._most or self._most_per_tenant):
            self._accepted_since.update(keys)

    def held_back(self, task_id: str) -> str:
        """Why the task of a patient caller is not let in yet; "" if none of that id waits here."""
        return self._held.get(task_id, "")

    async def _wait_for_room(self, task_id: str, tenant: str, *, patient: bool) -> None:
        if self._good_until == float("-inf"):
            await self._count()
        while refusal := self._refusal(tenant):
            if not self._stale():
                if not patient:
                    raise refusal
                self._held[task_id] = refusal.message
                await asyncio.sleep(COUNT_SECONDS)
            await self._count()
        if self._stale():
            self._start_counting()

    def _refusal(self, tenant: str) -> RefusalError | None:
        if self._most and self._queued(ALL) >= self._most:
            return exhausted(f"{self._most} tasks are queued, as many as this server keeps waiting", COUNT_SECONDS)
        if self._most_per_tenant and tenant != ALL and self._queued(tenant) >= self._most_per_tenant:
            message = f"tenant {tenant!r} has {self._most_per_tenant} tasks queued, as many as one tenant may have"
            return exhausted(message, COUNT_SECONDS)
        return None

    def _queued(self, key: str) -> int:
        return self._counted[key] + self._accepted_since[key] + self._on_the_way[key]

    def _stale(self) -> bool:
        return asyncio.get_running_loop().time() >= self._good_until

    def _start_counting(self) -> asyncio.Task[None]:
        if self._counting is None:
            self._counting = asyncio.get_running_loop().create_task(self._count_now())
            self._counting.add_done_callback(self._counted_now)
        return self._counting

    async def _count(self) -> None:
        # Others wait for the same count, so one that gives up does not end it.
        await asyncio.shield(self._start_counting())

    async def _count_now(self) -> None:
        started = asyncio.get_running_loop().time()
        before = self._accepted_since.copy()
        total, tenants = await self._store.count_queued()
        self._counted = Counter({ALL: total} | {name: count for name, count in tenants.items() if name != ALL})
        # What was accepted while the store counted may be in the count or not, and is added to be safe.
        self._accepted_since -= before
        now = asyncio.get_running_loop().time()
        self._good_until = now + max(COUNT_SECONDS, COUNTING_SHARE * (now - started))

    def _counted_now(self, counting: asyncio.Task[None]) -> None:
        self._counting = None
        if not counting.cancelled() and (error := counting.exception()):
            # Whoever submits meanwhile hears from the store itself that it is away.
            log.warning("queued.uncounted", error=str(error))
