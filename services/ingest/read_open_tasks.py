"""Runs while somebody watches everything: reads what is open from the store, as often as that is cheap.

Promises: reading takes a small share of the time, however many tasks are open; a slow store holds up nobody.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from taskandgo.clock import Clock
from taskandgo.errors import StoreAwayError
from taskandgo.store.open_tasks import OpenLevel
from taskandgo.store.records import TaskFilter, TaskRecord
from taskandgo.store.store import Store

EVERY_SECONDS = 1.0
#: Reading may take this part of the time.
READING_SHARE = 10
#: How long a message waits for a reading that is under way.
PATIENCE_SECONDS = 0.5
MOST_RUNNING, MOST_NEWEST = 200, 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OpenTasks:
    """What was read, when; `accepted` is how many tasks a second were accepted since the reading before."""

    read_at: datetime
    levels: Sequence[OpenLevel]
    running: Sequence[TaskRecord]
    newest: Sequence[TaskRecord]
    accepted: float


class ReadOpenTasks:
    """Reads now and then; `latest` is what was read last, `answers` whether the store answered then."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._reading: asyncio.Task[None] | None = None
        self._due_at = float("-inf")
        self.latest: OpenTasks | None = None
        self.answers = True

    async def keep_up(self) -> None:
        """Begin to read if it is time to; return when it is done, or patience ends."""
        if self._reading is None and asyncio.get_running_loop().time() >= self._due_at:
            self._reading = asyncio.get_running_loop().create_task(self._read_in_time())
        if self._reading:
            # Left to end by itself: breaking into a transaction would cost its connection.
            await asyncio.wait([self._reading], timeout=PATIENCE_SECONDS)

    async def close(self) -> None:
        """Return when no reading is under way."""
        if self._reading:
            await asyncio.wait([self._reading])

    async def _read_in_time(self) -> None:
        started = asyncio.get_running_loop().time()
        try:
            self.latest = await self._read()
            self.answers = True
        except StoreAwayError as error:
            self.answers = False
            log.warning("open_tasks.unread", error=str(error))
        except Exception:
            # Nobody waits for this, so that nobody else would tell.
            self.answers = False
            log.exception("open_tasks.failed")
        finally:
            took = asyncio.get_running_loop().time() - started
            # A little less than the time between two messages, so that each has a reading of its own.
            self._due_at = started + max(0.9 * EVERY_SECONDS, READING_SHARE * took)
            self._reading = None

    async def _read(self) -> OpenTasks:
        now, before = self._clock.now(), self.latest
        accepted = 0.0
        if before and now > before.read_at:
            count = await self._store.count_accepted(before.read_at, now)
            accepted = count / (now - before.read_at).total_seconds()
        running = await self._store.running_tasks()
        newest = await self._store.list_tasks(TaskFilter(page_size=MOST_NEWEST))
        return OpenTasks(now, await self._store.open_levels(), running[:MOST_RUNNING], newest, accepted)
