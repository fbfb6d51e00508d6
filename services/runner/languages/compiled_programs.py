"""Programs by what they were compiled from: each compiled once, however many ask for it, and kept while there is room.

Promises: only what the runner itself read from a compiler's box comes in; the key holds everything the program depends
on; what is kept takes at most so many bytes; a program that is thrown out lives on until the last run of it has ended.

Kept in memory only. On disk, programs would have to be guarded, checked and swept, to save a runner that starts anew
one compilation of a tenth of a second each.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from services.runner.languages.language import Refused
from services.runner.sandbox.box import EndedBy
from services.runner.sandbox.living_box import SIGNAL_CODE
from services.runner.sandbox.sealed import SealedFile

#: What an entry takes besides its bytes.
ENTRY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program, and how long its compilation took."""

    binary: SealedFile
    seconds: float


Compilation = Compiled | Refused


@dataclass(slots=True)
class _UnderWay:
    """A compilation, and how many wait for it."""

    task: asyncio.Task[Compilation]
    waiting: int = 0


class LookedUp(Protocol):
    """Who is told of each program that was asked for."""

    def __call__(self, *, hit: bool) -> None:
        """`hit`: it was there, or on its way."""
        ...


def nobody(*, hit: bool) -> None:
    """Tells it to no one."""
    del hit


class CompiledPrograms:
    """The programs, and the refusals, of one compiler."""

    def __init__(self, most_bytes: int, looked_up: LookedUp = nobody) -> None:
        self._looked_up = looked_up
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, Compilation] = OrderedDict()
        self._under_way: dict[bytes, _UnderWay] = {}
        self.kept_bytes = 0

    async def get(self, key: bytes, build: Callable[[], Coroutine[Any, Any, Compilation]]) -> Compilation:
        """What the key stands for, by `build` if it is not there; who is cancelled takes it from nobody else."""
        if kept := self._kept.get(key):
            self._kept.move_to_end(key)
            self._looked_up(hit=True)
            return kept
        under_way = self._under_way.get(key)
        self._looked_up(hit=under_way is not None)
        if under_way is None:
            task = asyncio.get_running_loop().create_task(self._build(key, build))
            under_way = self._under_way[key] = _UnderWay(task)
        under_way.waiting += 1
        try:
            return await asyncio.shield(under_way.task)
        finally:
            under_way.waiting -= 1
            if not under_way.waiting:
                del self._under_way[key]
                await _stop(under_way.task)

    async def _build(self, key: bytes, build: Callable[[], Coroutine[Any, Any, Compilation]]) -> Compilation:
        built = await build()
        if _stays_true(built):
            self._kept[key] = built
            self.kept_bytes += _size(built)
            self._make_room()
        return built

    def _make_room(self) -> None:
        while self.kept_bytes > self._most_bytes:
            _key, oldest = self._kept.popitem(last=False)
            self.kept_bytes -= _size(oldest)


def _stays_true(built: Compilation) -> bool:
    # What a compiler says of a source is so for ever. A limit, a signal or a box that failed may not be the next time.
    if isinstance(built, Compiled):
        return True
    return built.end.ended_by is EndedBy.EXIT and (built.end.exit_code or 0) < SIGNAL_CODE


def _size(built: Compilation) -> int:
    return ENTRY_BYTES + (len(built.end.stderr.data) if isinstance(built, Refused) else built.binary.size)


async def _stop(task: asyncio.Task[Compilation]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
