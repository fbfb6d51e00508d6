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
from enum import IntFlag
from functools import cache
from types import TracebackType

from services.runner.sandbox.inside.kernel import forbid_new_privileges, syscall
from services.runner.sandbox.inside.syscall_numbers import NUMBERS

CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
NET_BIND_TCP, NET_CONNECT_TCP = 1 << 0, 1 << 1
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1 << 0, 1 << 1


class Fs(IntFlag):
    """The kernel's rights over files."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15
    RESOLVE_UNIX = 1 << 16


READ = Fs.READ_FILE | Fs.READ_DIR
EXECUTE = Fs.EXECUTE
WRITE = (
    Fs.WRITE_FILE
    | Fs.TRUNCATE
    | Fs.REFER
    | (Fs.REMOVE_DIR | Fs.REMOVE_FILE)
    | (Fs.MAKE_DIR | Fs.MAKE_REG | Fs.MAKE_SOCK | Fs.MAKE_FIFO | Fs.MAKE_SYM)
)
READ_WRITE = READ | WRITE

ABI_1 = Fs(Fs.REFER - 1)
#: The version of Landlock's interface that brought a right.
SINCE = {2: Fs.REFER, 3: Fs.TRUNCATE, 5: Fs.IOCTL_DEV, 9: Fs.RESOLVE_UNIX}
#: The rights that mean something for a file; the kernel refuses a rule that gives a file any other.
OF_A_FILE = Fs.EXECUTE | Fs.WRITE_FILE | Fs.READ_FILE | Fs.TRUNCATE | Fs.IOCTL_DEV


@cache
def abi() -> int:
    """The version of the kernel's Landlock; 0 when there is none, or it is switched off."""
    try:
        return syscall(NUMBERS["landlock_create_ruleset"], None, 0, CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP}:
            return 0
        raise


def rights_known(version: int) -> Fs:
    """Every right over files that this version can refuse."""
    known = ABI_1
    for since, right in SINCE.items():
        known |= right if version >= since else Fs(0)
    return known


def ruleset_attributes(version: int) -> bytes:
    """`struct landlock_ruleset_attr`, as long as this version knows it: everything is handled, so refused."""
    files = int(rights_known(version))
    net = NET_BIND_TCP | NET_CONNECT_TCP
    scopes = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL
    fields = [files, *([net] if version >= 4 else []), *([scopes] if version >= 6 else [])]  # noqa: PLR2004
    return struct.pack(f"={len(fields)}Q", *fields)


class Ruleset:
    """Rights being gathered; they hold from `restrict_self` on. OSError where the kernel has no Landlock."""

    def __init__(self) -> None:
        attributes = ruleset_attributes(abi())
        self._known = rights_known(abi())
        self.fd = syscall(NUMBERS["landlock_create_ruleset"], attributes, len(attributes), 0)

    def allow(self, path: str | int, rights: Fs) -> None:
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

    def _add(self, fd: int, rights: Fs) -> None:
        given = rights & self._known
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            given &= OF_A_FILE
        rule = struct.pack("=Qi", given, fd)
        syscall(NUMBERS["landlock_add_rule"], self.fd, RULE_PATH_BENEATH, rule, 0)


def restrict(read: Iterable[str | int], write: Iterable[str | int] = (), *, execute: bool) -> None:
    """Hold this thread to reading below `read`, and to reading and writing below `write`; `execute`: running both."""
    more = EXECUTE if execute else Fs(0)
    with Ruleset() as ruleset:
        for path in read:
            ruleset.allow(path, READ | more)
        for path in write:
            ruleset.allow(path, READ_WRITE | more)
        ruleset.restrict_self()
