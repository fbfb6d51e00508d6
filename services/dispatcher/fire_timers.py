"""Runs while the dispatcher does: has happen what is due, woken by the earliest instant that is known.

Promises: with any number of dispatchers each timer is fired by one; what that one leaves undone because it died,
or because something was away, another fires when the claim has run out. Every action is safe to repeat.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog

from taskandgo.clock import Clock
from taskandgo.crash_points import CrashPoint, crash_point
from taskandgo.errors import AwayError
from taskandgo.store.records import Due
from taskandgo.store.store import Store
from taskandgo.words import TimerKind

#: How long a timer belongs to whoever took it up.
CLAIM = timedelta(seconds=30)
#: How late a timer can be that another process has set and did not live to fire.
LONGEST_SLEEP = timedelta(seconds=5)
AT_ONCE = 200

#: Does what is due; answers when it is due again, None when that was all.
Action = Callable[[Due], Awaitable[datetime | None]]

log = structlog.get_logger()


class FireTimers:
    """Fires the timers of the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._actions: dict[TimerKind, Action] = {}
        self._sleeps_until: datetime | None = None
        self._woken = asyncio.Event()
        self._stopping = False

    def on(self, kind: TimerKind, action: Action) -> None:
        """Do this when a timer of the kind is due."""
        self._actions[kind] = action

    def expect(self, at: datetime) -> None:
        """There is a timer for this instant: sleep no longer."""
        if self._sleeps_until is None or at < self._sleeps_until:
            self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fire timers while the context lasts; leaving it waits for those under way."""
        firing = asyncio.get_running_loop().create_task(self._fire_for_ever())
        try:
            yield
        finally:
            # Not cancelled: breaking into a transaction would cost its connection.
            self._stopping = True
            self._woken.set()
            await firing

    async def _fire_for_ever(self) -> None:
        while not self._stopping:
            self._woken.clear()
            # Not asleep: whoever sets a timer now may have been too late for this round.
            self._sleeps_until = None
            try:
                await self.fire_due()
                next_due = await self._store.next_due()
            except AwayError as error:
                log.warning("timers.waiting", error=str(error))
                next_due = None
            except Exception:
                # Nothing else would fire them for as long as this process lives.
                log.exception("timers.failed")
                next_due = None
            await self._sleep(next_due)

    async def fire_due(self) -> None:
        """Fire everything that is due now."""
        while True:
            now = self._clock.now()
            due = await self._store.claim_due(now, now + CLAIM, AT_ONCE)
            await asyncio.gather(*map(self._fire, due))
            if len(due) < AT_ONCE:
                return

    async def _fire(self, due: Due) -> None:
        try:
            crash_point(CrashPoint.TIMER_CLAIMED, due.task_id)
            again_at = await self._actions[due.kind](due)
            crash_point(CrashPoint.TIMER_FIRED, due.task_id)
            if again_at:
                await self._store.put_off_timer(due, again_at)
            else:
                await self._store.forget_timer(due)
        except AwayError as error:
            log.warning("timer.unfired", task_id=due.task_id, kind=due.kind, error=str(error))
        except Exception:
            # It must not keep the others from being fired, and is fired again when the claim has run out.
            log.exception("timer.failed", task_id=due.task_id, kind=due.kind)

    async def _sleep(self, next_due: datetime | None) -> None:
        if self._stopping:
            return
        now = self._clock.now()
        self._sleeps_until = min(next_due or now + LONGEST_SLEEP, now + LONGEST_SLEEP)
        try:
            async with asyncio.timeout(max(0.0, (self._sleeps_until - now).total_seconds())):
                await self._woken.wait()
        except TimeoutError:
            pass
