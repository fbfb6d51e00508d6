"""What all processes of a box use together, from /proc: for machines on which a box gets no cgroup.

CPU time is that of the living, of those whose parents waited for them, and what was last seen of those that vanished
unwaited for. Memory is the sum of resident sizes, which is never less than the truth. Pages that processes share are
in it several times: only when the sum is above the limit are proportional sizes read, which are exact but dear.

Promises: orphans count too (in a pid namespace they become the first process's children); a process that died is never
taken for one that got its number. Not seen is who lives between two samples only, under a parent that ignores SIGCHLD.
"""

import os
import re
import select
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.runner.sandbox.watch_usage import Usage

TICK_SECONDS: Final = 1 / os.sysconf("SC_CLK_TCK")
READ_BYTES: Final = 64 * 1024
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
PROPORTIONAL: Final = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)
#: A process's number and when it started: what no other process ever has.
Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Process:
    """One process as it was at a sample; times in clock ticks."""

    identity: Identity
    parent: int
    threads: int
    own_ticks: int
    waited_ticks: int
    resident_bytes: int


class ProcessTree:
    """The process that runs a job, all below it, and what `pidfd`'s process, the first of its namespace, adopted.

    The pidfd stays the caller's, open until the end.
    """

    def __init__(self, pid: int, pidfd: int, memory_limit_bytes: int | None = None) -> None:
        self.peak_memory_bytes = 0
        self._pid = pid
        self._first = _number_of(pidfd)
        self._ended = select.poll()
        self._ended.register(pidfd, select.POLLIN)
        self._memory_limit_bytes = memory_limit_bytes
        self._seen: dict[Identity, Process] = {}
        self._cpu = _TicksOfTheDead()
        self._usage = Usage(0.0)

    @property
    def cpu_seconds(self) -> float:
        """CPU time at the last sample."""
        return self._usage.cpu_seconds

    def sample(self) -> Usage:
        """What the box has used; once its first process is dead, what was seen last."""
        found = self._walk()
        # A walk misses who is handed to another parent meanwhile.
        found |= {known: process for known in self._seen.keys() - found.keys() if (process := _same(known))}
        if not self._ended.poll(0):
            self._take(found)
        return self._usage

    def _take(self, found: dict[Identity, Process]) -> None:
        ticks = self._cpu.after(self._seen, found) + sum(one.own_ticks + one.waited_ticks for one in found.values())
        self._usage = Usage(max(self._usage.cpu_seconds, ticks * TICK_SECONDS), self._memory(found.values()))
        self.peak_memory_bytes = max(self.peak_memory_bytes, self._usage.memory_bytes)
        self._seen = found

    def _memory(self, processes: Iterable[Process]) -> int:
        resident = sum(one.resident_bytes for one in processes)
        if self._memory_limit_bytes is None or resident <= self._memory_limit_bytes:
            return resident
        return sum(_proportional_bytes(one) for one in processes)

    def _walk(self) -> dict[Identity, Process]:
        found: dict[Identity, Process] = {}
        inside = {self._pid, self._first}
        pids = [self._pid, *_children_of(self._first, self._first)]
        while pids:
            process = _process(pids.pop())
            # Its parent is inside, or the number is another's by now.
            if process and (process.parent in inside or process.identity[0] == self._pid):
                found[process.identity] = process
                inside.add(process.identity[0])
                pids += _children(process)
        return found


class _TicksOfTheDead:
    """CPU time of processes that vanished and are in no parent's account, because it ignores SIGCHLD."""

    def __init__(self) -> None:
        self._settled = 0
        self._fresh = 0

    def after(self, before: dict[Identity, Process], now: dict[Identity, Process]) -> int:
        """The ticks that are sure at this sample."""
        gone = sum(one.own_ticks + one.waited_ticks for known, one in before.items() if known not in now)
        waited = sum(one.waited_ticks for one in now.values())
        waited -= sum(one.waited_ticks for known, one in before.items() if known in now)
        # Whoever died while the last sample was taken may be waited for only in this one.
        self._settled += max(0, self._fresh - max(0, waited - gone))
        self._fresh = max(0, gone - waited)
        return self._settled


def why_unwatchable() -> str | None:
    """Why trees of processes cannot be followed on this machine."""
    if os.access(f"/proc/self/task/{os.getpid()}/children", os.R_OK):
        return None
    return "the kernel does not list a process's children in /proc (CONFIG_PROC_CHILDREN), or /proc is hidden"


def _process(pid: int) -> Process | None:
    try:
        stat = _read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Counted from the third field on: a name may hold anything, but nothing after it holds a bracket.
    fields = stat.rpartition(")")[2].split()
    return Process(
        identity=(pid, int(fields[19])),
        parent=int(fields[1]),
        threads=int(fields[17]),
        own_ticks=int(fields[11]) + int(fields[12]),
        waited_ticks=int(fields[13]) + int(fields[14]),
        resident_bytes=int(fields[21]) * PAGE_BYTES,
    )


def _same(known: Identity) -> Process | None:
    process = _process(known[0])
    return process if process and process.identity == known else None


def _children(process: Process) -> list[int]:
    """The children of all its threads; fewer if it dies meanwhile."""
    pid = process.identity[0]
    try:
        threads = os.listdir(f"/proc/{pid}/task") if process.threads > 1 else [pid]  # noqa: PTH208 - names are all it takes
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [child for thread in threads for child in _children_of(pid, int(thread))]


def _children_of(pid: int, thread: int) -> list[int]:
    try:
        return [int(child) for child in _read(f"/proc/{pid}/task/{thread}/children").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _number_of(pidfd: int) -> int:
    return int(_read(f"/proc/self/fdinfo/{pidfd}").partition("\nPid:")[2].split(maxsplit=1)[0])


def _proportional_bytes(process: Process) -> int:
    try:
        found = PROPORTIONAL.search(_read(f"/proc/{process.identity[0]}/smaps_rollup"))
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError:
        return process.resident_bytes
    return int(found[1]) * 1024 if found else 0


def _read(path: str) -> str:
    """The whole of a file, at a third of what pathlib takes: there are several for each process and sample."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while data := os.read(fd, READ_BYTES):
            text += data
        return text.decode()
    finally:
        os.close(fd)
