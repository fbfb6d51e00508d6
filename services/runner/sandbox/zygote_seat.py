"""The place of one zygote in a runner: there is always one in it, or one on its way.

Promises: a zygote makes only so many boxes, so that what its children share (the seed of hashes, the layout of memory)
does not stay; its successor is warm before it goes; one that died or hangs is replaced when the next box is wanted.
"""

import asyncio
from collections.abc import Callable

import structlog

from services.runner.sandbox.box import SandboxUnavailableError
from services.runner.sandbox.inside.plan import BoxPlan, ZygotePlan
from services.runner.sandbox.living_box import LivingBox
from services.runner.sandbox.zygote_process import BoxRefusedError, ZygoteGoneError, ZygoteProcess, start_zygote

BOXES = 2000
TRIES = 3

log = structlog.get_logger()


class ZygoteSeat:
    """One zygote after another."""

    def __init__(self, interpreter: str, plan: ZygotePlan, replaced: Callable[[], None]) -> None:
        self._replaced = replaced
        self._interpreter = interpreter
        self._plan = plan
        self._zygote: ZygoteProcess | None = None
        self._changing = asyncio.Lock()
        self._closed = False
        self._successor: asyncio.Task[None] | None = None
        #: Those that end with the last of their boxes.
        self._leaving: set[ZygoteProcess] = set()

    async def open(self) -> str:
        """Seat the first one; the steps it took. SandboxUnavailableError if it cannot be."""
        async with self._changing:
            self._zygote = await start_zygote(self._interpreter, self._plan)
        return await self._zygote.ready

    async def make(self, plan: BoxPlan, entries: tuple[int, ...]) -> LivingBox:
        """A box whose walls stand; ZygoteGoneError, with the reason, if none can be made."""
        for last in range(TRIES):
            try:
                box = await (await self._living()).make(plan, entries)
                break
            except BoxRefusedError:
                raise  # other jobs' boxes live in it, and another zygote would say the same
            except ZygoteGoneError as error:
                log.warning("zygote.failed", error=str(error))
                if last == TRIES - 1:
                    raise
        try:
            problem = await asyncio.shield(box.ready)
        except asyncio.CancelledError:
            box.abandon()
            raise
        if problem:
            box.abandon()
            raise ZygoteGoneError(problem)
        return box

    async def replace(self, plan: ZygotePlan) -> None:
        """From the next box on, have them made by another plan."""
        former, self._plan = self._plan, plan
        try:
            await self._succeed()
        except ZygoteGoneError:
            self._plan = former
            raise

    async def close(self) -> None:
        """End the zygote and all its boxes."""
        self._closed = True
        if self._successor:
            self._successor.cancel()
            await asyncio.gather(self._successor, return_exceptions=True)
        async with self._changing:  # one that is starting would be left over
            if self._zygote:
                self._leaving.add(self._zygote)
        await asyncio.gather(*(zygote.end() for zygote in self._leaving))

    async def _living(self) -> ZygoteProcess:
        zygote = self._zygote
        if zygote is None or zygote.doomed:
            await self._succeed(zygote)
        elif zygote.made >= BOXES and (self._successor is None or self._successor.done()):
            self._successor = asyncio.get_running_loop().create_task(self._succeed(zygote))
        assert self._zygote is not None
        return self._zygote

    async def _succeed(self, former: ZygoteProcess | None = None) -> None:
        async with self._changing:
            if former is not None and self._zygote is not former:
                return  # somebody else saw to it
            if self._closed:
                raise ZygoteGoneError("the sandbox is closed")
            former = self._zygote
            try:
                self._zygote = await start_zygote(self._interpreter, self._plan)
            except SandboxUnavailableError as error:
                raise ZygoteGoneError(str(error)) from error
            if former:
                self._leaving.add(former)
                former.gone.add_done_callback(lambda _gone: self._leaving.discard(former))
                former.retire()
                self._replaced()
