"""The level `strict`: every box in namespaces, a root and a file system of its own, under Landlock and seccomp.

Promises: submitted code sees no process, file, network or user of the host; it has children, and all die with its box.
All that can be done from outside is done by the zygote, whose memory is warm: whatever a box's first process touches,
the kernel has to copy.
"""

import os
import socket

from services.runner.sandbox.inside import landlock, seccomp
from services.runner.sandbox.inside.box_init import be_box, serve_one_job
from services.runner.sandbox.inside.kernel import forbid_new_privileges, syscall
from services.runner.sandbox.inside.mounts import bind, mount_tmpfs, unmount
from services.runner.sandbox.inside.namespaces import (
    NEWNS,
    NOBODY,
    OF_A_BOX,
    Child,
    become,
    become_owner,
    enter_namespaces,
    fork_into_namespaces,
    map_identity,
)
from services.runner.sandbox.inside.plan import BoxPlan, ZygotePlan
from services.runner.sandbox.inside.privileges import (
    close_all_but,
    die_with_parent,
    drop_capabilities,
    hide_memory,
    limit,
    limit_core,
)
from services.runner.sandbox.inside.root_fs import BOX, SHM, TMP, WORK, build_root
from services.runner.sandbox.inside.step import Step
from services.runner.sandbox.inside.syscall_numbers import NUMBERS
from services.runner.sandbox.inside.syscall_policy import strict

#: More files than this for their bytes only serve to fill the kernel's memory.
BYTES_PER_INODE = 16 * 1024
#: From here on Landlock keeps boxes from each other's abstract sockets, so that a box may have sockets of its own.
ABI_OF_SCOPES = 6


class Strict:
    """Makes strict boxes."""

    def __init__(self, plan: ZygotePlan) -> None:
        self._plan = plan
        self._proc = -1
        self._home = -1
        self._identity = (-1, -1)
        self._filter = seccomp.compile_policy(strict(unix_sockets=landlock.abi() >= ABI_OF_SCOPES))

    def enter(self, step: Step) -> None:
        """Move the zygote where its boxes shall be born."""
        step.take("namespaces of the zygote")
        self._proc = os.open("/proc", os.O_PATH)
        enter_namespaces(self._proc)
        socket.sethostname("box")
        step.take("a minimal, read-only root")
        build_root(self._plan.shown, self._plan.masked)
        step.take("an ordinary user")
        if os.geteuid() == 0:
            become(self._plan.uid)
            hide_memory(hidden=False)
            become_owner(self._proc, NEWNS)
        forbid_new_privileges()
        limit_core()
        os.umask(0o022)
        self._identity = (os.geteuid(), os.getegid())
        self._home = os.open("self/ns/mnt", os.O_RDONLY, dir_fd=self._proc)

    def fork(self, channel: socket.socket, plan: BoxPlan, step: Step) -> Child:
        """A new box, of which the child is the first process; in that process itself this does not return."""
        step.take("a private file system")
        syscall(NUMBERS["unshare"], NEWNS)
        try:
            _mount_own(plan.disk_bytes)
            step.take("Landlock rules")
            with landlock.Ruleset() as rules:
                rules.allow("/", landlock.READ | landlock.EXECUTE)
                for where in (WORK, TMP, SHM):
                    rules.allow(where, landlock.READ_WRITE | landlock.EXECUTE)
                step.take("namespaces of the box")
                child = fork_into_namespaces(OF_A_BOX)
                if child.pid == 0:
                    be_box(channel, step, lambda: self._close_walls(channel, rules, step), serve_one_job)
            step.take("a user and limits of its own")
            self._settle(child.pid)
            limit(child.pid, plan.limits)
        finally:
            syscall(NUMBERS["setns"], self._home, NEWNS)
        return child

    def _settle(self, pid: int) -> None:
        process = os.open(str(pid), os.O_PATH, dir_fd=self._proc)
        map_identity(process, (NOBODY, NOBODY), self._identity)
        os.close(process)

    def _close_walls(self, channel: socket.socket, rules: landlock.Ruleset, step: Step) -> None:
        step.take("no capabilities")
        close_all_but(0, 1, 2, channel.fileno(), rules.fd)
        drop_capabilities()
        die_with_parent()
        step.take("Landlock")
        rules.restrict_self()
        rules.close()
        step.take("seccomp")
        self._filter.load(os.getpid())


def _mount_own(disk_bytes: int) -> None:
    mount_tmpfs(BOX, f"size={disk_bytes},nr_inodes={disk_bytes // BYTES_PER_INODE},mode=755")
    for name, where in (("work", WORK), ("tmp", TMP), ("shm", SHM)):
        os.mkdir(f"{BOX}/{name}")
        bind(f"{BOX}/{name}", where)
    unmount(BOX)
    os.chdir(WORK)
