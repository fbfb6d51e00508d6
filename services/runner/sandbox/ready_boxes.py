"""Boxes that stand ready before their jobs come, so that a job waits for none of their making.

Promises: a box is handed out once; there is never more than one a slot and one to spare; the next is made when a job
has ended, not while one starts.
"""

import asyncio
import itertools
import time
from collections import deque
from typing import cast

import structlog

from services.runner.sandbox.box import SandboxUnavailableError
from services.runner.sandbox.events import SandboxEvents
from services.runner.sandbox.inside.plan import BoxPlan, ZygotePlan
from services.runner.sandbox.living_box import LivingBox
from services.runner.sandbox.meter import Meter, Meters
from services.runner.sandbox.zygote_process import ZygoteGoneError
from services.runner.sandbox.zygote_seat import ZygoteSeat

SLOTS_A_ZYGOTE = 8

log = structlog.get_logger()


class ReadyBoxes:
    """The boxes of a runner that wait for a job."""

    def __init__(  # noqa: PLR0913 - what boxes are made of
        self,
        interpreter: str,
        plan: ZygotePlan,
        meters: Meters,
        slots: int,
        usual: BoxPlan,
        *,
        events: SandboxEvents,
    ) -> None:
        self._events = events
        self._seats = [
            ZygoteSeat(interpreter, plan, events.zygote_replaced) for _ in range(1 + (slots - 1) // SLOTS_A_ZYGOTE)
        ]
        self._turns = itertools.cycle(self._seats)
        self._meters = meters
        self._wanted = slots + 1
        self._usual = usual
        self._ready: deque[tuple[LivingBox, Meter]] = deque()
        self._making: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._ready)

    async def open(self) -> str:
        """Start the zygotes and make a first box; the steps that were taken. SandboxUnavailableError if it fails."""
        steps = await asyncio.gather(*(seat.open() for seat in self._seats))
        try:
            box, meter = await self._make(self._usual)
        except ZygoteGoneError as error:
            raise SandboxUnavailableError(str(error)) from error
        self._ready.append((box, meter))
        return f"{steps[0]}; {box.steps}"

    async def take(self, plan: BoxPlan) -> tuple[LivingBox, Meter]:
        """A box by the plan, and its meter; ZygoteGoneError, with the reason, if none can be made."""
        while self._ready and plan == self._usual:
            box, meter = self._ready.popleft()
            if not box.killed and not box.dead.done():
                return box, meter
            box.abandon()
            meter.close()
        return await self._make(plan)

    async def bury(self, box: LivingBox, meter: Meter) -> None:
        """Kill what is left of a box that has had its job, and make the next."""
        await _end(box, meter)
        self.refill()

    def refill(self) -> None:
        """Have as many boxes ready as are wanted, soon; none any more once it is closed."""
        if self._is_closed:
            return
        for _ in range(self._wanted - len(self._ready) - len(self._making)):
            making = asyncio.get_running_loop().create_task(self._add())
            self._making.add(making)
            making.add_done_callback(self._making.discard)

    async def replace(self, plan: ZygotePlan) -> None:
        """Have all boxes from now on made by another plan."""
        await asyncio.gather(*(seat.replace(plan) for seat in self._seats))
        # What was on its way may still be by the old plan.
        await asyncio.gather(*self._making, return_exceptions=True)
        await self._discard()
        self.refill()

    async def close(self) -> None:
        """End everything."""
        self._is_closed = True
        for making in self._making:
            making.cancel()
        await asyncio.gather(*self._making, return_exceptions=True)
        await self._discard()
        await asyncio.gather(*(seat.close() for seat in self._seats))

    async def _add(self) -> None:
        try:
            made = await self._make(self._usual)
        except ZygoteGoneError as error:
            log.warning("box.not_made", error=str(error))  # the job that wants one says so in its result
            return
        # At once, and not when this task is seen to be done: until then one too few would be made.
        self._making.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        self._ready.append(made)

    async def _make(self, plan: BoxPlan) -> tuple[LivingBox, Meter]:
        started = time.monotonic()
        try:
            meter = self._meters.make()
        except OSError as error:
            raise ZygoteGoneError(f"its cgroups: {error.strerror}: {error.filename}") from error
        try:
            box = await next(self._turns).make(plan, meter.entries)
        except BaseException:
            meter.close()
            raise
        meter.hold(box)
        self._events.box_made(time.monotonic() - started)
        return box, meter

    async def _discard(self) -> None:
        while self._ready:
            ending = asyncio.get_running_loop().create_task(_end(*self._ready.popleft()))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        # Not gathered: who is cancelled meanwhile must not leave a box that nobody ends.
        if self._ending:
            await asyncio.wait(self._ending)


async def _end(box: LivingBox, meter: Meter) -> None:
    box.kill()
    await box.dead
    meter.close()
    box.close()
