"""Cgroup v1: a box's group is one directory in each of the memory, pids and cpuacct hierarchies.

Groups are used again. A removed one stays in the kernel for as long as the page cache holds a page that its box was the
first to read: of 300 boxes that each read something new, 290 left a dying group, and to reclaim each group's memory
first took 0.7 to 33 ms. Renewing one takes 10 us, making and removing one 0.5 ms. One that has much left in it is
removed all the same, since it takes from the next box's memory; so dying groups are few for the memory they hold.
"""

import math
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Final

from services.runner.sandbox.cgroups.emptying import kill_members, members
from services.runner.sandbox.cgroups.files import OpenFile, OpenFiles, write
from services.runner.sandbox.cgroups.group import REUSE_BYTES, BoxUsage
from services.runner.sandbox.cgroups.oom_event import OomEvent
from services.runner.sandbox.cgroups.runner_cgroups import Cgroups
from services.runner.sandbox.cgroups.runner_directory import RunnerDirectory

#: What a hierarchy is for, and the kernel's name of the controller that does it.
CONTROLLERS: Final = {"memory": "memory", "pids": "pids", "cpu": "cpuacct"}
UNLIMITED: Final = "-1"
NANOSECONDS: Final = 1_000_000_000
LIMIT, LIMIT_WITH_SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


def cgroups_v1(own: Mapping[str, str], runner: str, spare: int) -> Cgroups:
    """The groups of a runner; `own` is its own group for each of memory, pids and cpu that is there."""
    with ExitStack() as undo:
        opened: dict[str, RunnerDirectory] = {}
        for group in dict.fromkeys(own.values()):
            opened[group] = RunnerDirectory(group, runner)
            undo.callback(opened[group].close)
        undo.pop_all()
    directories = {what: opened[group] for what, group in own.items()}
    return Cgroups(1, frozenset(own), directories, GroupV1, spare=spare)


class GroupV1:
    """One group; `directories` are by what their hierarchy is for, which may be one for all."""

    def __init__(self, directories: Mapping[str, str]) -> None:
        self.directories = frozenset(directories.values())
        # A thread that moves itself, through this file, takes no lock that all the machine's processes share.
        self.entries = tuple(f"{directory}/tasks" for directory in self.directories)
        self._memory = directories["memory"]
        self._memory_bytes: float = math.inf
        self._left_bytes = 0
        self._oom_event: OomEvent | None = None
        with OpenFiles() as files:
            self._open_memory(files)
            self._open_others(files, directories.get("pids"), directories.get("cpu"))
            self._files = files.pop_all()

    def renew(self) -> bool:
        """Lift all limits, and count from here."""
        try:
            left_bytes = self._in_use.number()
            if left_bytes > REUSE_BYTES or not self._is_empty():
                return False
            self._limit_memory(math.inf)
            self._limit_processes("max")
            self._peak.write("0")
        except OSError:
            return False
        self._left_bytes = left_bytes
        return True

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Limit memory, swap included, and processes and threads together."""
        self._limit_memory(memory_bytes)
        self._limit_processes(str(processes))

    def on_oom(self, kill: Callable[[], None] | None) -> None:
        """Call `kill` when the kernel is out of memory here."""
        if kill and not self._oom_event:
            register = f"{self._memory}/cgroup.event_control"
            if not os.access(register, os.W_OK):
                return  # real-time kernels tell nobody; the count of OOM kills in `usage` stays true
            self._oom_event = OomEvent(self._oom_control, register)
        if self._oom_event:
            self._oom_event.call(kill)

    def cpu_seconds(self) -> float:
        """CPU time since the group was made."""
        return self._cpu.number() / NANOSECONDS if self._cpu else 0.0

    def usage(self) -> BoxUsage:
        """The highest use of memory since it was renewed; CPU time and OOM kills since it was made."""
        peak_bytes = max(0, self._peak.number() - self._left_bytes)
        return BoxUsage(self.cpu_seconds(), peak_bytes, self._oom_control.count(b"oom_kill"))

    def kill(self) -> None:
        """Kill every process in it."""
        kill_members(self._memory)

    def close(self) -> None:
        """Close its files."""
        if self._oom_event:
            self._oom_event.close()
            self._oom_event = None
        self._files.close()

    def _open_memory(self, files: OpenFiles) -> None:
        knobs = [LIMIT, LIMIT_WITH_SWAP]
        if not os.access(f"{self._memory}/{LIMIT_WITH_SWAP}", os.F_OK):
            write(f"{self._memory}/memory.swappiness", "0")
            knobs = [LIMIT]
        self._limits = [files.knob(f"{self._memory}/{knob}") for knob in knobs]
        self._in_use = files.to_read(f"{self._memory}/memory.usage_in_bytes")
        self._peak = files.to_reset(f"{self._memory}/memory.max_usage_in_bytes")
        self._oom_control = files.to_read(f"{self._memory}/memory.oom_control")

    def _open_others(self, files: OpenFiles, pids: str | None, cpu: str | None) -> None:
        self._most_processes = files.knob(f"{pids}/pids.max") if pids else None
        self._processes = files.to_read(f"{pids}/pids.current") if pids else None
        self._cpu: OpenFile | None = files.to_read(f"{cpu}/cpuacct.usage") if cpu else None

    def _limit_memory(self, memory_bytes: float) -> None:
        text = UNLIMITED if memory_bytes == math.inf else str(memory_bytes)
        # The limit with swap may at no moment be the lower one of the two.
        for limit in self._limits if memory_bytes <= self._memory_bytes else reversed(self._limits):
            limit.set(text)
        self._memory_bytes = memory_bytes

    def _limit_processes(self, most: str) -> None:
        if self._most_processes:
            self._most_processes.set(most)

    def _is_empty(self) -> bool:
        return self._processes.number() == 0 if self._processes else not members(self._memory)
