"""The level `strict`: every box in namespaces, a root and a file system of its own, under Landlock and seccomp.

Promises: submitted code sees no process, file, network or user of the host; it has children, and all die with its box.
The zygote is the first process of a namespace itself, so that with it the kernel ends every box.

All that can be done from outside is done by the zygote, whose memory is warm: whatever page a box's process touches,
the kernel has to copy.
"""

import os
import socket

from services.runner.sandbox.inside import landlock, seccomp
from services.runner.sandbox.inside.box import be_box
from services.runner.sandbox.inside.firsts import Firsts
from services.runner.sandbox.inside.kernel import forbid_new_privileges, syscall
from services.runner.sandbox.inside.level import MadeBox, Ways
from services.runner.sandbox.inside.mounts import bind, mount_tmpfs, unmount
from services.runner.sandbox.inside.namespaces import (
    JOINED,
    NEWNS,
    NEWPID,
    NOBODY,
    OF_A_ZYGOTE,
    become,
    become_owner,
    join,
    map_identity,
    number_outside,
)
from services.runner.sandbox.inside.plan import BoxPlan, ZygotePlan
from services.runner.sandbox.inside.privileges import (
    close_all_but,
    die_with_parent,
    drop_capabilities,
    hide_memory,
    kill,
    limit,
    limit_core,
)
from services.runner.sandbox.inside.root_fs import BOX, DEV, SHM, TMP, WORK, build_root
from services.runner.sandbox.inside.step import Step
from services.runner.sandbox.inside.syscall_numbers import NUMBERS
from services.runner.sandbox.inside.syscall_policy import strict

#: More files than this for their bytes only serve to fill the kernel's memory.
BYTES_PER_INODE = 16 * 1024
#: And no fewer than this, for to the kernel none would mean any number.
LEAST_INODES = 64
#: From here on Landlock keeps boxes from each other's abstract sockets, so that a box may have sockets of its own.
ABI_OF_SCOPES = 6


class Strict:
    """Makes strict boxes."""

    def __init__(self, plan: ZygotePlan) -> None:
        self._plan = plan
        self._proc = -1
        self._mounts = -1
        self._numbers = -1
        self._identity = (-1, -1)
        self._filter = seccomp.compile_policy(strict(unix_sockets=landlock.abi() >= ABI_OF_SCOPES))

    def enter(self, step: Step) -> None:
        """Move the zygote where its boxes shall be born; what called goes on in a child, and waits for it here."""
        step.take("namespaces of the zygote")
        self._proc = os.open("/proc", os.O_PATH)
        privileged = os.geteuid() == 0
        if privileged:
            syscall(NUMBERS["unshare"], OF_A_ZYGOTE)
        else:
            become_owner(self._proc, OF_A_ZYGOTE | NEWPID)
        socket.sethostname("box")
        step.take("a minimal, read-only root")
        build_root(self._plan.shown, self._plan.masked)
        if privileged:
            step.take("an ordinary user")
            become(self._plan.uid)
            hide_memory(hidden=False)
            step.take("a user namespace of its own")
            become_owner(self._proc, NEWNS | NEWPID)
        forbid_new_privileges()
        limit_core()
        os.umask(0o022)
        self._identity = (os.geteuid(), os.getegid())
        step.take("the first process of its namespace")
        _go_on_in_child()
        self._firsts = Firsts()
        self._mounts = os.open("self/ns/mnt", os.O_RDONLY, dir_fd=self._proc)
        self._numbers = os.open("self/ns/pid", os.O_RDONLY, dir_fd=self._proc)

    def fork(self, ways: Ways, plan: BoxPlan, step: Step) -> MadeBox:
        """A new box; in its own processes this does not return."""
        step.take("a private file system")
        syscall(NUMBERS["unshare"], NEWNS)
        try:
            _mount_own(plan.disk_bytes)
            step.take("Landlock rules")
            with landlock.Ruleset() as rules:
                rules.allow("/", landlock.READ | landlock.EXECUTE)
                for where in (WORK, TMP, DEV):
                    rules.allow(where, landlock.READ_WRITE | landlock.EXECUTE)
                return self._fork(ways, plan, rules, step)
        finally:
            join(self._mounts, NEWNS)

    def _fork(self, ways: Ways, plan: BoxPlan, rules: landlock.Ruleset, step: Step) -> MadeBox:
        step.take("namespaces of the box")
        first = self._firsts.make()
        try:
            step.take("a user of its own")
            process = os.open(str(number_outside(self._proc, first)), os.O_PATH, dir_fd=self._proc)
            map_identity(process, (NOBODY, NOBODY), self._identity)
            os.close(process)
            step.take("a process in its namespaces")
            join(first, NEWPID)
            main = os.fork()
            if main == 0:
                be_box(ways.channel, step, lambda: self._close_walls(ways, first, rules, step), _confined_already)
            join(self._numbers, NEWPID)
            limit(main, plan.limits)
        except OSError:
            kill(first)
            raise
        return MadeBox(main, first)

    def _close_walls(self, ways: Ways, first: int, rules: landlock.Ruleset, step: Step) -> None:
        step.take("its cgroups")
        ways.join_cgroups()
        step.take("no capabilities")
        join(first, JOINED)
        close_all_but(0, 1, 2, *sorted((ways.channel.fileno(), rules.fd)))
        drop_capabilities()
        hide_memory()
        die_with_parent()
        step.take("Landlock")
        rules.restrict_self()
        rules.close()
        step.take("seccomp")
        self._filter.load(os.getpid())


def _go_on_in_child() -> None:
    die_with_parent()  # once more: a change of user had made an end of it
    pid = os.fork()
    if pid:
        close_all_but(1, 2)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) and 1)
    die_with_parent()


def _confined_already(work: str) -> None:
    del work


def _mount_own(disk_bytes: int) -> None:
    mount_tmpfs(BOX, f"size={disk_bytes},nr_inodes={max(LEAST_INODES, disk_bytes // BYTES_PER_INODE)},mode=755")
    for name, where in (("work", WORK), ("tmp", TMP), ("shm", SHM)):
        os.mkdir(f"{BOX}/{name}")
        bind(f"{BOX}/{name}", where)
    unmount(BOX)
    os.chdir(WORK)
