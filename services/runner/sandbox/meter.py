"""What a box uses and may use as a whole: kept by a cgroup where the runner has one, else by looking at its processes.

Promises: one of the two for every box; a limit that is passed is told of once; nothing of a meter outlives its box.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.runner.sandbox.box import BoxLimits
from services.runner.sandbox.cgroups.box_cgroup import BoxCgroup
from services.runner.sandbox.cgroups.find_cgroups import find_cgroups
from services.runner.sandbox.cgroups.runner_cgroups import NoCgroups
from services.runner.sandbox.living_box import LivingBox
from services.runner.sandbox.process_tree import ProcessTree, why_unwatchable
from services.runner.sandbox.watch_usage import Limit, Usage, UsageLimits, UsageWatch, Watched

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Metered:
    """What a box has used as far as is known: what its job's process counted may be more."""

    cpu_seconds: float
    peak_memory_bytes: int | None
    oom_kills: int = 0


class Meters:
    """Makes the meters of one runner."""

    def __init__(self, runner: str, slots: int) -> None:
        # A slot has a box at work, and one that is ready.
        self._cgroups = find_cgroups(runner, 2 * slots + 2)
        self._watch = UsageWatch()

    @property
    def kind(self) -> str:
        """How boxes are metered here, in a word."""
        return "sampled" if isinstance(self._cgroups, NoCgroups) else f"cgroup-v{self._cgroups.version}"

    @property
    def described(self) -> str:
        """How boxes are metered here, for a person."""
        if isinstance(self._cgroups, NoCgroups):
            blind = why_unwatchable()
            looked = (
                f"nor can processes be followed: {blind}" if blind else "memory and CPU time are looked at now and then"
            )
            return f"no cgroups ({self._cgroups.reason}): {looked}"
        return f"cgroups of version {self._cgroups.version}: {', '.join(sorted(self._cgroups.controllers))}"

    def make(self) -> "Meter":
        """A meter for a box that is still to be made."""
        return Meter(None if isinstance(self._cgroups, NoCgroups) else self._cgroups.make(), self._watch)

    def close(self) -> None:
        """Remove whatever there is of cgroups; after the last box."""
        if not isinstance(self._cgroups, NoCgroups):
            self._cgroups.close()


class Meter:
    """The meter of one box."""

    def __init__(self, cgroup: BoxCgroup | None, watch: UsageWatch) -> None:
        self._box: LivingBox | None = None
        self._cgroup = cgroup
        self._watch = watch
        self._tree: ProcessTree | None = None
        self._watched: Watched | None = None

    @property
    def entries(self) -> tuple[int, ...]:
        """Where the box's process joins its cgroups."""
        return self._cgroup.entries if self._cgroup else ()

    def hold(self, box: LivingBox) -> None:
        """The box is made, and has joined."""
        self._box = box
        if self._cgroup:
            self._cgroup.joined()

    def start(self, limits: BoxLimits, exceeded: Callable[[Limit], None]) -> None:
        """Hold the box to its limits from now on; `exceeded` is told when one has to be enforced by a kill."""
        wanted = UsageLimits(limits.cpu_seconds, None if self._cgroup else limits.memory_bytes)
        if self._cgroup:
            self._cgroup.limit(limits.memory_bytes, limits.processes)
            self._cgroup.on_oom(lambda: exceeded(Limit.MEMORY_BYTES))
            sample = self._sample_cgroup
        else:
            assert self._box
            self._tree = ProcessTree(self._box.main_pid, self._box.pidfd, limits.memory_bytes)
            sample = self._tree.sample
        self._watched = self._watch.watch(sample, wanted, exceeded)

    def read(self) -> Metered:
        """What the box has used so far."""
        if self._cgroup:
            used = self._cgroup.usage()
            return Metered(used.cpu_seconds, used.peak_memory_bytes, used.oom_kills)
        if self._tree:
            return Metered(self._tree.cpu_seconds, self._tree.peak_memory_bytes or None)
        return Metered(0.0, None)

    def close(self) -> None:
        """Stop, and remove the cgroup; after the box is dead."""
        if self._watched:
            self._watched.stop()
        if self._cgroup:
            self._cgroup.remove()

    def _sample_cgroup(self) -> Usage:
        assert self._cgroup
        return Usage(self._cgroup.cpu_seconds())
