"""The level `restricted`, for containers that may not make namespaces: Landlock, seccomp and limits around one process.

Promises: submitted code has no children, starts no program, opens no socket, writes no file and reads only the
interpreter, its libraries and its own folder. It does not promise that the code sees nothing: names, sizes and process
numbers of its container are there to be looked at.
"""

import os

from services.runner.sandbox.inside import landlock, seccomp
from services.runner.sandbox.inside.box import be_box
from services.runner.sandbox.inside.kernel import forbid_new_privileges
from services.runner.sandbox.inside.level import MadeBox, Ways
from services.runner.sandbox.inside.namespaces import become
from services.runner.sandbox.inside.plan import BoxPlan, ZygotePlan
from services.runner.sandbox.inside.privileges import (
    close_all_but,
    die_with_parent,
    hide_memory,
    limit,
    limit_core,
)
from services.runner.sandbox.inside.step import Step
from services.runner.sandbox.inside.syscall_policy import restricted

LEAST_ABI = 6
SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/lib", "/lib64", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


class Restricted:
    """Makes restricted boxes."""

    def __init__(self, plan: ZygotePlan) -> None:
        self._plan = plan
        self._filter = seccomp.compile_policy(restricted())
        self._readable = [path for path in (*SYSTEM, *(path for path, _inside in plan.shown)) if os.path.exists(path)]

    def enter(self, step: Step) -> None:
        """Give up what the zygote does not need."""
        step.take(f"Landlock of version {LEAST_ABI}, which scopes signals and sockets")
        if landlock.abi() < LEAST_ABI:
            raise OSError(f"this kernel has version {landlock.abi()}")
        step.take("nothing of this product where the code can read")
        if self._plan.masked:
            raise OSError(f"{', '.join(self._plan.masked)} would be readable")
        step.take("an ordinary user")
        become(self._plan.uid)
        die_with_parent()  # once more: a change of user made an end of it
        step.take("an interpreter that this user can read")
        for path in self._readable:
            os.close(os.open(path, os.O_RDONLY))
        forbid_new_privileges()
        hide_memory()
        limit_core()
        os.umask(0o022)

    def fork(self, ways: Ways, plan: BoxPlan, step: Step) -> MadeBox:
        """A new box, which is one process; in that process itself this does not return."""
        step.take("a process")
        pid = os.fork()
        if pid == 0:
            be_box(ways.channel, step, lambda: self._close_walls(ways, plan, step), self._confine)
        return MadeBox(pid, os.pidfd_open(pid))

    def _close_walls(self, ways: Ways, plan: BoxPlan, step: Step) -> None:
        step.take("its cgroups")
        ways.join_cgroups()
        close_all_but(0, 1, 2, ways.channel.fileno())
        limit(0, plan.limits)
        die_with_parent()

    def _confine(self, work: str) -> None:
        landlock.restrict(read=(*self._readable, work), write=DEVICES, execute=False)
        self._filter.load(os.getpid())
