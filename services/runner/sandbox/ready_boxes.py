"""Boxes that stand ready before their jobs come, so that a job waits for none of their making.

Promises: a box is handed out once; there is never more than one a slot and one to spare; the next is made when a job
has ended, not while one starts.
"""

import asyncio
import itertools
from collections import deque
from typing import cast

import structlog

from services.runner.sandbox.inside.plan import BoxPlan, ZygotePlan
from services.runner.sandbox.living_box import LivingBox
from services.runner.sandbox.meter import Meter, Meters
from services.runner.sandbox.zygote_process import ZygoteGoneError
from services.runner.sandbox.zygote_seat import ZygoteSeat

SLOTS_A_ZYGOTE = 8

log = structlog.get_logger()


class ReadyBoxes:
    """The boxes of a runner that wait for a job."""

    def __init__(self, interpreter: str, plan: ZygotePlan, meters: Meters, slots: int, usual: BoxPlan) -> None:
        self._seats = [ZygoteSeat(interpreter, plan) for _ in range(1 + (slots - 1) // SLOTS_A_ZYGOTE)]
        self._turns = itertools.cycle(self._seats)
        self._meters = meters
        self._wanted = slots + 1
        self._usual = usual
        self._ready: deque[tuple[LivingBox, Meter]] = deque()
        self._making: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Start the zygotes; the steps that one took. SandboxUnavailableError if they cannot be."""
        return (await asyncio.gather(*(seat.open() for seat in self._seats)))[0]

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
        """Have as many boxes ready as are wanted, soon."""
        for _ in range(self._wanted - len(self._ready) - len(self._making)):
            making = asyncio.get_running_loop().create_task(self._add())
            self._making.add(making)
            making.add_done_callback(self._making.discard)

    async def replace(self, plan: ZygotePlan) -> None:
        """Have all boxes from now on made by another plan."""
        await asyncio.gather(*(seat.replace(plan) for seat in self._seats))
        # Some of those on their way are made by the plan before.
        await asyncio.gather(*self._making)
        await self._discard()
        self.refill()

    async def close(self) -> None:
        """End everything."""
        self._wanted = 0
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
        try:
            meter = self._meters.make()
        except OSError as error:
            raise ZygoteGoneError(f"a cgroup for the box: {error.strerror}") from error
        try:
            box = await next(self._turns).make(plan, meter.entries)
        except BaseException:
            meter.close()
            raise
        meter.hold(box)
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
    _let_go(box, meter)


def _let_go(box: LivingBox, meter: Meter) -> None:
    meter.close()
    box.close()
