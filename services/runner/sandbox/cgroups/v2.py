"""Cgroup v2: a box's group is one directory of the subtree that is delegated to the runner.

Groups are used again, for the reason that v1.py gives, where the highest use of memory can be reset.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from services.runner.sandbox.cgroups.delegation import LEAF, make_room
from services.runner.sandbox.cgroups.emptying import kill_members
from services.runner.sandbox.cgroups.files import OpenFiles, names_in, write
from services.runner.sandbox.cgroups.group import REUSE_BYTES, BoxUsage
from services.runner.sandbox.cgroups.mounts import UNIFIED
from services.runner.sandbox.cgroups.peak_memory import PeakMemory
from services.runner.sandbox.cgroups.runner_cgroups import Cgroups
from services.runner.sandbox.cgroups.runner_directory import PARENT, RunnerDirectory

CONTROLLERS: Final = frozenset({"memory", "pids", "cpu"})
MICROSECONDS: Final = 1_000_000


def cgroups_v2(own: str, runner: str, spare: int) -> Cgroups:
    """The groups of a runner; `own` is the directory of its own group."""
    own = own.removesuffix(f"/{LEAF}")
    limits = CONTROLLERS & set(Path(own, "cgroup.controllers").read_text().split())
    make_room(own)
    with ExitStack() as undo:
        directory = RunnerDirectory(own, runner)
        undo.callback(directory.close)
        for group in (own, f"{own}/{PARENT}", directory.path):
            write(f"{group}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(limits)))
        undo.pop_all()
    # CPU time is counted in every group, with or without the controller.
    return Cgroups(2, limits | {"cpu"}, {UNIFIED: directory}, GroupV2, spare=spare)


class GroupV2:
    """One group."""

    def __init__(self, directories: Mapping[str, str]) -> None:
        self._group = group = directories[UNIFIED]
        self.directories = frozenset({group})
        self.entries = (f"{group}/cgroup.procs",)
        names = names_in(group)
        self._can_kill = "cgroup.kill" in names
        if "memory.oom.group" in names:
            write(f"{group}/memory.oom.group", "1")
        with OpenFiles() as files:
            self._open(files, names)
            self._files = files.pop_all()

    def renew(self) -> bool:
        """Lift all limits, and count from here."""
        try:
            if not self._peak or not self._peak.is_resettable or self._events.count(b"populated"):
                return False
            if self._peak.in_use_bytes() > REUSE_BYTES:
                return False
            for knob in self._knobs.values():
                knob.set("max")
            self._peak.reset()
        except OSError:
            return False
        return True

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Limit memory, swap included, and processes and threads together."""
        limits = {"memory.max": memory_bytes, "memory.swap.max": 0, "pids.max": processes}
        for name, knob in self._knobs.items():
            knob.set(str(limits[name]))

    def on_oom(self, kill: Callable[[], None] | None) -> None:
        """Nothing is to be done: memory.oom.group has the kernel kill the whole box."""

    def cpu_seconds(self) -> float:
        """CPU time since the group was made."""
        if self._peak:
            self._peak.look()
        return self._cpu.count(b"usage_usec") / MICROSECONDS

    def usage(self) -> BoxUsage:
        """The highest use of memory since it was renewed; CPU time and OOM kills since it was made."""
        return BoxUsage(
            self.cpu_seconds(),
            self._peak.peak_bytes() if self._peak else 0,
            self._memory_events.count(b"oom_kill") if self._memory_events else 0,
        )

    def kill(self) -> None:
        """Kill every process in it; at one stroke from Linux 5.14 on."""
        if self._can_kill:
            write(f"{self._group}/cgroup.kill", "1")
        else:
            kill_members(self._group)

    def close(self) -> None:
        """Close its files."""
        self._files.close()

    def _open(self, files: OpenFiles, names: frozenset[str]) -> None:
        knobs = ("memory.max", "memory.swap.max", "pids.max")
        self._knobs = {name: files.knob(f"{self._group}/{name}") for name in knobs if name in names}
        self._events = files.to_read(f"{self._group}/cgroup.events")
        self._cpu = files.to_read(f"{self._group}/cpu.stat")
        counts_memory = "memory.current" in names
        self._memory_events = files.to_read(f"{self._group}/memory.events") if counts_memory else None
        self._peak = PeakMemory(self._group, files) if counts_memory else None
