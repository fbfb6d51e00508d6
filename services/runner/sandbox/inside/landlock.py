"""Which files a process may touch: a Landlock ruleset, made in one go or prepared ahead.

Promises: every right that the running kernel's Landlock knows is refused unless a rule gives it, with it TCP, abstract
unix sockets and signals that leave the box, and the ioctls of devices. What a process was restricted to, it and its
children never get back. Landlock cannot refuse stat, chdir, chmod, chown, utime, setxattr, nor an exec of a memfd: the
system call policy does.

A ruleset prepared in a parent must get no rule in its children: they would all add to the one ruleset.
"""

import errno
import os
import stat
import struct
from collections.abc import Iterable
from types import TracebackType

from services.runner.sandbox.inside.kernel import forbid_new_privileges, syscall
from services.runner.sandbox.inside.syscall_numbers import NUMBERS

CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
NET_BIND_TCP, NET_CONNECT_TCP = 1 << 0, 1 << 1
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1 << 0, 1 << 1


#: The kernel's rights over files, as plain numbers: flags of an enum cost more than the calls they are made for.
FS_EXECUTE = 1 << 0
FS_WRITE_FILE = 1 << 1
FS_READ_FILE = 1 << 2
FS_READ_DIR = 1 << 3
FS_REMOVE_DIR = 1 << 4
FS_REMOVE_FILE = 1 << 5
FS_MAKE_CHAR = 1 << 6
FS_MAKE_DIR = 1 << 7
FS_MAKE_REG = 1 << 8
FS_MAKE_SOCK = 1 << 9
FS_MAKE_FIFO = 1 << 10
FS_MAKE_BLOCK = 1 << 11
FS_MAKE_SYM = 1 << 12
FS_REFER = 1 << 13
FS_TRUNCATE = 1 << 14
FS_IOCTL_DEV = 1 << 15
FS_RESOLVE_UNIX = 1 << 16

EXECUTE = FS_EXECUTE
READ = FS_READ_FILE | FS_READ_DIR
REMOVE = FS_REMOVE_DIR | FS_REMOVE_FILE
MAKE = FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK | FS_MAKE_FIFO | FS_MAKE_SYM
WRITE = FS_WRITE_FILE | FS_TRUNCATE | FS_REFER | REMOVE | MAKE
READ_WRITE = READ | WRITE

#: The rights that mean something for a file; the kernel refuses a rule that gives a file any other.
OF_A_FILE = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV
IN_THE_FIRST_VERSION = FS_REFER - 1
#: The version of Landlock's interface that brought a right.
SINCE = {2: FS_REFER, 3: FS_TRUNCATE, 5: FS_IOCTL_DEV, 9: FS_RESOLVE_UNIX}
SINCE_NET, SINCE_SCOPES = 4, 6


def abi() -> int:
    """The version of the kernel's Landlock; 0 when there is none, it is switched off, or a filter refuses it to us."""
    try:
        return syscall(NUMBERS["landlock_create_ruleset"], None, 0, CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}:
            return 0
        raise


def rights_known(version: int) -> int:
    """Every right over files that this version can refuse."""
    return IN_THE_FIRST_VERSION | sum(right for since, right in SINCE.items() if version >= since)


def ruleset_attributes(version: int) -> bytes:
    """`struct landlock_ruleset_attr`, as long as this version knows it: everything is handled, so refused."""
    fields = [rights_known(version)]
    if version >= SINCE_NET:
        fields.append(NET_BIND_TCP | NET_CONNECT_TCP)
    if version >= SINCE_SCOPES:
        fields.append(SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL)
    return struct.pack(f"={len(fields)}Q", *fields)


# Worked out before any fork, so that no child has to.
_ABI = abi() if NUMBERS else 0
_KNOWN = rights_known(_ABI)
_ATTRIBUTES = ruleset_attributes(_ABI)


class Ruleset:
    """Rights being gathered; they hold from `restrict_self` on. OSError where the kernel has no Landlock."""

    def __init__(self) -> None:
        self.fd = syscall(NUMBERS["landlock_create_ruleset"], _ATTRIBUTES, len(_ATTRIBUTES), 0)

    def allow(self, path: str | int, rights: int) -> None:
        """Give the rights over the file, or the folder and all below it; `path` may be an open descriptor."""
        if isinstance(path, int):
            self._add(path, rights)
            return
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            self._add(fd, rights)
        finally:
            os.close(fd)

    def restrict_self(self) -> None:
        """Hold this thread, and what it starts, to the rights; they can only shrink from here."""
        forbid_new_privileges()
        syscall(NUMBERS["landlock_restrict_self"], self.fd, 0)

    def close(self) -> None:
        """Forget the ruleset; whoever is held to it still is."""
        os.close(self.fd)

    def __enter__(self) -> "Ruleset":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _add(self, fd: int, rights: int) -> None:
        given = rights & _KNOWN
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            given &= OF_A_FILE
        rule = struct.pack("=Qi", given, fd)
        syscall(NUMBERS["landlock_add_rule"], self.fd, RULE_PATH_BENEATH, rule, 0)


def restrict(read: Iterable[str | int], write: Iterable[str | int] = (), *, execute: bool) -> None:
    """Hold this thread to reading below `read`, and to reading and writing below `write`; `execute`: running both."""
    more = EXECUTE if execute else 0
    with Ruleset() as ruleset:
        for path in read:
            ruleset.allow(path, READ | more)
        for path in write:
            ruleset.allow(path, READ_WRITE | more)
        ruleset.restrict_self()
