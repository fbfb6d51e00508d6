"""Giving up whatever a process could do beyond its own memory: rights, being looked into, descriptors, outliving us."""

import resource
import struct
from contextlib import suppress

from services.runner.sandbox.inside.kernel import prctl, syscall
from services.runner.sandbox.inside.plan import Limit
from services.runner.sandbox.inside.syscall_numbers import NUMBERS

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
SIGKILL = 9
NO_CAPABILITIES_HEADER, NO_CAPABILITIES = struct.pack("=Ii", 0x20080522, 0), bytes(24)
#: At 1 a core is refused both as a file (too small) and to a handler (asked not to); at 0 a handler would be started.
NO_CORE = 1
EVERY_DESCRIPTOR = 0x7FFF_FFFF


def drop_capabilities() -> None:
    """Have no capability; and none is ever gained, for there are no new privileges and nobody is root in a box."""
    syscall(NUMBERS["capset"], NO_CAPABILITIES_HEADER, NO_CAPABILITIES)


def die_with_parent() -> None:
    """Be killed when the parent dies."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)


def kill(pidfd: int) -> None:
    """Kill a process; one that is dead stays so."""
    with suppress(ProcessLookupError):
        syscall(NUMBERS["pidfd_send_signal"], pidfd, SIGKILL, None, 0)


def hide_memory(*, hidden: bool = True) -> None:
    """Let no process of the same user look into this one; while hidden, its own files below /proc are root's."""
    prctl(PR_SET_DUMPABLE, 0 if hidden else 1)


def limit_core() -> None:
    """Leave no core dump, neither as a file nor to a handler."""
    resource.setrlimit(resource.RLIMIT_CORE, (NO_CORE, NO_CORE))


def limit(pid: int, limits: list[Limit]) -> None:
    """Hold a process (0: this one), and what it forks from then on, to limits that it cannot raise."""
    for kind, value in limits:
        resource.prlimit(pid, kind, (value, value))


def close_all_but(*kept: int) -> None:
    """Close every descriptor but these, which come in order."""
    first = 0
    for fd in (*kept, EVERY_DESCRIPTOR):
        if fd > first:
            syscall(NUMBERS["close_range"], first, fd - 1, 0)
        first = fd + 1
