"""Cgroup v1: a box's group is one directory in each of the memory, pids and cpuacct hierarchies.

Groups are used again. A removed one stays in the kernel for as long as the page cache holds a page that its box was the
first to read: of 300 boxes that each read something new, 290 left a dying group, and to reclaim each group's memory
first took 0.7 to 33 ms. Renewing one takes 0.2 ms, making and removing one 0.5 ms. One that has much left in it is
removed all the same, since it takes from the next box's memory; so dying groups are few for the memory they hold.
"""

import asyncio
import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

from services.runner.sandbox.cgroup_files import count, kill_members, members, read, write
from services.runner.sandbox.cgroups import BoxUsage
from services.runner.sandbox.runner_groups import REUSE_BYTES, RunnerGroups

#: What a hierarchy is for, and the kernel's name of the controller that does it.
CONTROLLERS: Final = {"memory": "memory", "pids": "pids", "cpu": "cpuacct"}
UNLIMITED = -1
NANOSECONDS = 1_000_000_000
LIMIT, LIMIT_WITH_SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


class CgroupsV1:
    """The groups of one runner; `own` is its own group for each of the controllers that are there."""

    version: Final = 1

    def __init__(self, own: dict[str, str], runner: str) -> None:
        self._own = own
        self._groups = RunnerGroups(list(own.values()), runner, self._renew)

    @property
    def controllers(self) -> frozenset[str]:
        """Which of memory, pids and cpu are there."""
        return frozenset(self._own)

    def make(self) -> "BoxCgroupV1":
        """Make a group without limits."""
        with self._groups.taken() as name:
            return BoxCgroupV1(self._directories(name), partial(self._groups.give_back, name))

    def close(self) -> None:
        """Kill what is left in any group of this runner, and remove its groups."""
        self._groups.close()

    def _directories(self, name: str) -> dict[str, str]:
        return {controller: f"{self._groups.directories[own]}/{name}" for controller, own in self._own.items()}

    def _renew(self, name: str) -> bool:
        directories = self._directories(name)
        memory = directories["memory"]
        try:
            if not _is_empty(directories) or int(read(f"{memory}/memory.usage_in_bytes")) > REUSE_BYTES:
                return False
            for knob in (LIMIT_WITH_SWAP, LIMIT):
                if os.access(f"{memory}/{knob}", os.F_OK):
                    write(f"{memory}/{knob}", str(UNLIMITED))
            write(f"{memory}/memory.max_usage_in_bytes", "0")
            if "pids" in directories:
                write(f"{directories['pids']}/pids.max", "max")
        except OSError:
            return False
        return True


class BoxCgroupV1:
    """The group of one box."""

    def __init__(self, directories: dict[str, str], give_back: Callable[[], None]) -> None:
        self._memory = directories["memory"]
        self._pids = directories.get("pids")
        self._cpu = directories.get("cpu")
        self._procs = [f"{directory}/cgroup.procs" for directory in dict.fromkeys(directories.values())]
        self._give_back: Callable[[], None] | None = give_back
        self._memory_bytes: float = math.inf
        self._has_swap_limit = os.access(f"{self._memory}/{LIMIT_WITH_SWAP}", os.F_OK)
        self._ooms = 0
        self._forget_oom: Callable[[], None] = _nothing
        if not self._has_swap_limit:
            write(f"{self._memory}/memory.swappiness", "0")
        self._left_bytes = int(read(f"{self._memory}/memory.usage_in_bytes"))
        self._before = self._counted()
        self.entries: tuple[int, ...] = tuple(
            os.open(f"{d}/tasks", os.O_WRONLY) for d in dict.fromkeys(directories.values())
        )

    def joined(self) -> None:
        """Close the entries."""
        for entry in self.entries:
            os.close(entry)
        self.entries = ()

    def add(self, pid: int) -> None:
        """Put the process in each hierarchy's group."""
        for procs in self._procs:
            write(procs, str(pid))

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Limit memory, swap included, and processes and threads together."""
        knobs = [LIMIT, LIMIT_WITH_SWAP] if self._has_swap_limit else [LIMIT]
        # The limit with swap may at no moment be the lower one of the two.
        for knob in knobs if memory_bytes <= self._memory_bytes else reversed(knobs):
            write(f"{self._memory}/{knob}", str(memory_bytes))
        self._memory_bytes = memory_bytes
        if self._pids:
            write(f"{self._pids}/pids.max", str(processes))

    def on_oom(self, kill: Callable[[], None]) -> None:
        """Call `kill` when the kernel is out of memory here: of itself it would kill one process, and no other."""
        if not os.access(f"{self._memory}/cgroup.event_control", os.W_OK):
            return  # real-time kernels tell nobody; the count of OOM kills in `usage` stays true
        event = _oom_event(self._memory)
        loop = asyncio.get_running_loop()
        loop.add_reader(event, self._told, event, kill)
        self._forget_oom = partial(_unregister, loop, event)

    def cpu_seconds(self) -> float:
        """CPU time of all processes so far."""
        return self._cpu_seconds() - self._before.cpu_seconds

    def usage(self) -> BoxUsage:
        """What the box has used so far."""
        before, now = self._before, self._counted()
        return BoxUsage(
            now.cpu_seconds - before.cpu_seconds,
            max(0, now.peak_memory_bytes - self._left_bytes),
            max(self._ooms, now.oom_kills - before.oom_kills),
        )

    def kill(self) -> None:
        """Kill every process in the group."""
        kill_members(self._memory)

    def remove(self) -> None:
        """Give the group back, after its processes died."""
        self.joined()
        if self._give_back:
            self._forget_oom()
            self._give_back()
            self._give_back = None

    def _told(self, event: int, kill: Callable[[], None]) -> None:
        # The kernel tells before it chooses whom to kill, and chooses nobody where `kill` was faster.
        self._ooms = 1
        os.eventfd_read(event)
        kill()

    def _counted(self) -> BoxUsage:
        return BoxUsage(
            self._cpu_seconds(),
            int(read(f"{self._memory}/memory.max_usage_in_bytes")),
            count(f"{self._memory}/memory.oom_control", "oom_kill"),
        )

    def _cpu_seconds(self) -> float:
        return int(read(f"{self._cpu}/cpuacct.usage")) / NANOSECONDS if self._cpu else 0.0


def _nothing() -> None:
    pass


def _unregister(loop: asyncio.AbstractEventLoop, event: int) -> None:
    # Before the group is removed: the kernel signals the event then too.
    loop.remove_reader(event)
    os.close(event)


def _is_empty(directories: dict[str, str]) -> bool:
    if "pids" in directories:
        return int(read(f"{directories['pids']}/pids.current")) == 0
    return not members(directories["memory"])


def _oom_event(memory: str) -> int:
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    with ExitStack() as undo:
        undo.callback(os.close, event)
        control = os.open(f"{memory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            write(f"{memory}/cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
        undo.pop_all()
    return event
