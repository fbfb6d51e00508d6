"""A sandbox under attack, and what is seen of it from outside: processes, descriptors, threads, memory, mounts."""

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.runner.sandbox.box import BoxEnd
from services.runner.sandbox.inside.syscall_numbers import NUMBERS
from services.runner.sandbox.sandbox import Sandbox
from tests.sandbox.boxes import MIB, Runs
from tests.sandbox.confined import PRELUDE

#: What a run finds on a slot: it may not differ from what the first one found.
LOOK = """
import builtins, os, resource, signal, sys, threading
print(sorted(os.environ), sys.path, len(vars(builtins)), threading.active_count(), os.umask(0o22), os.getpid() > 0)
print([resource.getrlimit(n) for n in range(16)], signal.pthread_sigmask(0, []), os.getpriority(0, 0))
for folder in ('/work', '/tmp', '/dev/shm', '/var/tmp', '.'):
    try: print(sorted(os.listdir(folder)))
    except OSError as e: print(e.strerror)
for number in range(1, 300):
    try: os.kill(number, 0); print(number) if number != os.getpid() else None
    except OSError: pass
"""
#: The open files and events of groups; not the entries, which are closed once a box has joined.
OF_A_GROUP = re.compile(r"/sys/fs/cgroup/.*/(?!tasks$|cgroup\.procs$)[^/]*$|anon_inode:\[eventfd\]$")
#: Threads of asyncio in which it waits for processes, which are counted; they end some time after those.
WAITING = "asyncio-waitpid-"
GROWTH_BYTES = 32 * MIB
SETTLE_SECONDS = 10
#: In the program: each expression is tried; what works is told.
TRY = """
def _tried(expression):
    try:
        got = eval(expression)
    except (OSError, ValueError, MemoryError, OverflowError, ImportError, AttributeError, PermissionError):
        return
    if not isinstance(got, str) or not got.startswith('E'):
        print('WORKS', expression, repr(got)[:200])
import ctypes, errno, os, resource, signal, socket, struct, sys, threading, time
for _expression in json.loads({expressions!r}): _tried(_expression)
"""


@dataclass(frozen=True, slots=True)
class Outside:
    """What is there of a runner, but for what its code holds in memory."""

    descriptors: int
    threads: int
    processes: int
    mounts: int
    folders: frozenset[str]

    def grown_since(self, before: "Outside") -> dict[str, tuple[object, object]]:
        """What there is more of than before; a thread or a process that others left may have gone meanwhile."""
        pairs = {name: (getattr(before, name), getattr(self, name)) for name in self.__slots__}
        return {name: pair for name, pair in pairs.items() if not pair[1] <= pair[0]}


class Attacked:
    """A sandbox that attacks run in."""

    def __init__(self, sandbox: Sandbox, canary: str, folder: Path, neighbours: set[int]) -> None:
        self.sandbox = sandbox
        self._neighbours = neighbours
        self.level = sandbox.isolation
        self._runs = Runs(sandbox)
        self._canary = canary.encode()
        self._folder = folder
        self._found_first = ""
        self.counts_processes = "pids" in sandbox.metering

    @classmethod
    async def begin(cls, sandbox: Sandbox, canary: str, folder: Path, neighbours: set[int]) -> "Attacked":
        """Take down what a first run finds; `neighbours` are children of this process that are other tests' servers."""
        attacked = cls(sandbox, canary, folder, neighbours)
        attacked._found_first = await attacked.says(LOOK)
        await attacked.settled()
        return attacked

    async def end(self, code: str | bytes, **how: Any) -> BoxEnd:
        """However the program ends, its output without the secret."""
        end = await self._runs.end(code, **how)
        assert self._canary not in end.stdout.data + end.stderr.data + end.problem.encode()
        return end

    async def says(self, code: str | bytes, **how: Any) -> str:
        """What a program prints that ends well."""
        end = await self.end(code, **how)
        assert end.exit_code == 0, end
        text = end.stdout.data.decode(errors="replace").strip()
        return re.sub(rf"{self._folder}/taskandgo-\w+", "/work", text)

    async def refuses(self, *expressions: str, before: str = "", **how: Any) -> None:
        """Not one of the expressions can be evaluated; `call(name, …)` is a system call."""
        code = with_calls(before) + TRY.format(expressions=json.dumps(expressions))
        worked = await self.says(code, **how)
        assert worked == "", worked

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator["Attacked"]:
        """After the block the next runs find what the first did, and all that is outside is as it was."""
        await self.settled()
        before, memory = self.outside(), resident_bytes()
        yield self
        assert set(await asyncio.gather(*(self.says(LOOK) for _slot in range(2)))) == {self._found_first}
        assert (grown := await self._grown_since(before)) == {}, grown
        assert resident_bytes() - memory < GROWTH_BYTES

    async def settled(self) -> None:
        """All boxes that shall stand ready do."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while making := self.sandbox._boxes._making:
                await asyncio.gather(*making)

    async def _grown_since(self, before: Outside) -> dict[str, tuple[object, object]]:
        """What there is more of, and stays: the machine's own threads and descriptors come and go."""
        await self.settled()
        until = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while (grown := self.outside().grown_since(before)) and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.05)
            await self.settled()
        return grown

    def outside(self) -> Outside:
        """What is there now."""
        return Outside(
            descriptors=len(descriptors()),
            threads=sum(not thread.name.startswith(WAITING) for thread in threading.enumerate()),
            processes=len(descendants() - set().union(*(descendants(pid) for pid in self._neighbours))),
            mounts=len(Path("/proc/self/mountinfo").read_text().splitlines()),
            folders=frozenset(path.name for path in self._folder.iterdir()),
        )


def with_calls(code: str) -> str:
    """The code, which may make calls past the C library: `call(name, …)`."""
    return PRELUDE.format(numbers=json.dumps(NUMBERS)) + code


def resident_bytes() -> int:
    """What this process holds of memory; what the allocator only keeps for later is given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> list[str]:
    """Where this process's descriptors lead, but for those that groups hold while they wait for the next box."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(path.readlink()))
    return [leads for leads in found if not OF_A_GROUP.match(leads)]


def descendants(pid: int | None = None) -> set[int]:
    """All processes below one, or below this one."""
    found: set[int] = set()
    pids = [pid or os.getpid()]
    while pids:
        children = children_of(pids.pop()) - found
        found |= children
        pids += children
    return found


def children_of(pid: int) -> set[int]:
    """The children of all its threads; none if it is gone."""
    try:
        return {
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        }
    except (FileNotFoundError, ProcessLookupError):
        return set()
