"""Cgroup v1: a box's group is one directory in each of the memory, pids and cpuacct hierarchies.

Groups are used again. A removed one stays in the kernel for as long as the page cache holds a page that its box was the
first to read: boxes that each read something new left 300 dying groups after 300 runs, and to reclaim it at once cost
0.7 to 33 ms a group. To renew a group also costs a third of making and removing one. One with much left in it is
removed all the same, since it takes from the next box's memory; so dying groups are few for the memory they hold.
"""

import asyncio
import math
import os
from collections.abc import Callable
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
        name = self._groups.take()
        return BoxCgroupV1(self._directories(name), partial(self._groups.give_back, name))

    def close(self) -> None:
        """Kill what is left in any group of this runner, and remove its groups."""
        self._groups.close()

    def _directories(self, name: str) -> dict[str, str]:
        return {controller: f"{own}/{self._groups.below}/{name}" for controller, own in self._own.items()}

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
        self._oom_event: int | None = None
        if not self._has_swap_limit:
            write(f"{self._memory}/memory.swappiness", "0")
        self._left_bytes = int(read(f"{self._memory}/memory.usage_in_bytes"))
        self._before = self._counted()

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
        self._forget_oom()
        self._oom_event = event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        control = os.open(f"{self._memory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            write(f"{self._memory}/cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
        asyncio.get_running_loop().add_reader(event, _told, event, kill)

    def cpu_seconds(self) -> float:
        """CPU time of all processes so far."""
        return self._cpu_seconds() - self._before.cpu_seconds

    def usage(self) -> BoxUsage:
        """What the box has used so far."""
        before, now = self._before, self._counted()
        return BoxUsage(
            now.cpu_seconds - before.cpu_seconds,
            max(0, now.peak_memory_bytes - self._left_bytes),
            now.oom_kills - before.oom_kills,
        )

    def kill(self) -> None:
        """Kill every process in the group."""
        kill_members(self._memory)

    def remove(self) -> None:
        """Give the group back, after its processes died."""
        self._forget_oom()
        if self._give_back:
            self._give_back()
            self._give_back = None

    def _counted(self) -> BoxUsage:
        return BoxUsage(
            self._cpu_seconds(),
            int(read(f"{self._memory}/memory.max_usage_in_bytes")),
            count(f"{self._memory}/memory.oom_control", "oom_kill"),
        )

    def _cpu_seconds(self) -> float:
        return int(read(f"{self._cpu}/cpuacct.usage")) / NANOSECONDS if self._cpu else 0.0

    def _forget_oom(self) -> None:
        # Before the group is removed: the kernel signals the event then too.
        if self._oom_event is not None:
            asyncio.get_running_loop().remove_reader(self._oom_event)
            os.close(self._oom_event)
            self._oom_event = None


def _is_empty(directories: dict[str, str]) -> bool:
    if "pids" in directories:
        return int(read(f"{directories['pids']}/pids.current")) == 0
    return not members(directories["memory"])


def _told(event: int, kill: Callable[[], None]) -> None:
    os.eventfd_read(event)
    kill()
