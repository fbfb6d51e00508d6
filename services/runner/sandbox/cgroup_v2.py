"""Cgroup v2: a box's group is one directory of the subtree that is delegated to the runner.

A group that has processes cannot have groups with limits in it. So the runner moves what is in its own group, itself
included, into a leaf beside those of the boxes; it does so only where the group is its own to arrange.

Groups are used again, for the reason that cgroup_v1.py gives, where the highest use of memory can be reset.
"""

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from services.runner.sandbox.cgroup_files import count, kill_members, members, read, write
from services.runner.sandbox.cgroups import BoxUsage
from services.runner.sandbox.peak_memory import PeakMemory, is_resettable
from services.runner.sandbox.runner_directory import PARENT
from services.runner.sandbox.runner_groups import REUSE_BYTES, RunnerGroups

CONTROLLERS: Final = frozenset({"memory", "pids", "cpu"})
KNOBS: Final = frozenset({"memory.max", "memory.swap.max", "pids.max"})
#: The leaf that the runner and the processes beside it move into.
LEAF = "taskandgo-runner"
DELEGATED = ("trusted.delegate", "user.delegate")
NOT_DELEGATED = "the group is not delegated to the runner (start it in a container, or by systemd with Delegate=yes)"
MICROSECONDS = 1_000_000


class CgroupsV2:
    """The groups of one runner; `own` is the directory of its own group."""

    version: Final = 2

    def __init__(self, own: str, runner: str) -> None:
        own = own.removesuffix(f"/{LEAF}")
        limits = CONTROLLERS & set(read(f"{own}/cgroup.controllers").split())
        self.controllers = limits | {"cpu"}  # CPU time is counted in every group, with or without the controller
        if not _is_root(own):
            _move_members(own)
        self._groups = RunnerGroups([own], runner, self._renew)
        self._group = self._groups.directories[own]
        for group in (own, f"{own}/{PARENT}", self._group):
            write(f"{group}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(limits)))

    def make(self) -> "BoxCgroupV2":
        """Make a group without limits."""
        with self._groups.taken() as name:
            return BoxCgroupV2(f"{self._group}/{name}", partial(self._groups.give_back, name))

    def close(self) -> None:
        """Kill what is left in any group of this runner, and remove its groups."""
        self._groups.close()

    def _renew(self, name: str) -> bool:
        group = f"{self._group}/{name}"
        try:
            if count(f"{group}/cgroup.events", "populated") or not is_resettable(group):
                return False
            if int(read(f"{group}/memory.current")) > REUSE_BYTES:
                return False
            for knob in KNOBS & _files(group):
                write(f"{group}/{knob}", "max")
        except OSError:
            return False
        return True


class BoxCgroupV2:
    """The group of one box."""

    def __init__(self, group: str, give_back: Callable[[], None]) -> None:
        files = _files(group)
        self._group = group
        self._give_back: Callable[[], None] | None = give_back
        self._can_kill = "cgroup.kill" in files
        self._knobs = KNOBS & files
        if "memory.oom.group" in files:
            write(f"{group}/memory.oom.group", "1")
        self._peak = PeakMemory(group) if "memory.current" in files else None
        self._cpu_before, self._ooms_before = self._cpu_seconds(), self._oom_kills()
        self.entries: tuple[int, ...] = (os.open(f"{group}/cgroup.procs", os.O_WRONLY),)

    def joined(self) -> None:
        """Close the entry."""
        for entry in self.entries:
            os.close(entry)
        self.entries = ()

    def add(self, pid: int) -> None:
        """Put the process in."""
        write(f"{self._group}/cgroup.procs", str(pid))

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Limit memory, swap included, and processes and threads together."""
        limits = {"memory.max": memory_bytes, "memory.swap.max": 0, "pids.max": processes}
        for knob in self._knobs:
            write(f"{self._group}/{knob}", str(limits[knob]))

    def on_oom(self, kill: Callable[[], None]) -> None:
        """Nothing is to be done: memory.oom.group has the kernel kill the whole box."""

    def cpu_seconds(self) -> float:
        """CPU time of all processes so far."""
        if self._peak:
            self._peak.look()
        return self._cpu_seconds() - self._cpu_before

    def usage(self) -> BoxUsage:
        """What the box has used so far."""
        peak_memory_bytes = self._peak.peak_bytes() if self._peak else 0
        return BoxUsage(self.cpu_seconds(), peak_memory_bytes, self._oom_kills() - self._ooms_before)

    def kill(self) -> None:
        """Kill every process in the group; at one stroke from Linux 5.14 on."""
        if self._can_kill:
            write(f"{self._group}/cgroup.kill", "1")
        else:
            kill_members(self._group)

    def remove(self) -> None:
        """Give the group back, after its processes died."""
        self.joined()
        if self._peak:
            self._peak.close()
        if self._give_back:
            self._give_back()
            self._give_back = None

    def _cpu_seconds(self) -> float:
        return count(f"{self._group}/cpu.stat", "usage_usec") / MICROSECONDS

    def _oom_kills(self) -> int:
        return count(f"{self._group}/memory.events", "oom_kill") if self._peak else 0


def _files(group: str) -> frozenset[str]:
    return frozenset(path.name for path in Path(group).iterdir())


def _is_root(group: str) -> bool:
    """Whether it is the hierarchy's real root, in which processes may stay."""
    return not os.access(f"{group}/cgroup.type", os.F_OK)


def _move_members(own: str) -> None:
    pids = members(own)
    if pids and not _is_ours(own):
        raise PermissionError(None, NOT_DELEGATED, own)
    Path(own, LEAF).mkdir(exist_ok=True)
    while pids:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                write(f"{own}/{LEAF}/cgroup.procs", str(pid))
        pids = members(own)


def _is_ours(own: str) -> bool:
    """Whether the group is for its processes to arrange."""
    if not os.access(f"{own}/../cgroup.procs", os.F_OK):
        return True  # nothing above it is shown: a container, with a group to itself
    if os.geteuid() != 0:
        return os.access(f"{own}/cgroup.procs", os.W_OK)
    return any(_says_yes(own, name) for name in DELEGATED)


def _says_yes(own: str, name: str) -> bool:
    try:
        return os.getxattr(own, name) == b"1"
    except OSError:
        return False
