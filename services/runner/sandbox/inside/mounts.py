"""Mounting, in a mount namespace that is ours alone."""

import os
import struct

from services.runner.sandbox.inside.kernel import syscall
from services.runner.sandbox.inside.syscall_numbers import NUMBERS

MS_NOSUID, MS_NODEV = 0x2, 0x4
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 0x1, 0x2, 0x4


def mount_tmpfs(where: str, options: str) -> None:
    """A new, empty file system in memory; options as `size=…,nr_inodes=…,mode=…`."""
    _mount("box", where, "tmpfs", MS_NOSUID | MS_NODEV, options)


def bind(what: str, where: str) -> None:
    """Show a file or a folder, with all that is mounted below it, in another place too."""
    _mount(what, where, None, MS_BIND | MS_REC, None)


def keep_to_ourselves() -> None:
    """Let no mount of ours be seen outside, and none from outside come in."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE, None)


def make_read_only(where: str, *, devices: bool = False, below: bool = True) -> None:
    """Let nothing there (and `below` it) be written, nor be set-uid, nor, unless `devices`, be a device."""
    kinds = ATTR_RDONLY | ATTR_NOSUID | (0 if devices else ATTR_NODEV)
    attributes = struct.pack("=4Q", kinds, 0, 0, 0)
    flags = AT_RECURSIVE if below else 0
    syscall(NUMBERS["mount_setattr"], AT_FDCWD, where.encode(), flags, attributes, len(attributes))


def enter_root(new_root: str) -> None:
    """Make a mount point the root of everything; what was the root before is gone."""
    os.chdir(new_root)
    syscall(NUMBERS["pivot_root"], b".", b".")
    # The old root now lies on top of the new one.
    unmount(".")
    os.chdir("/")


def unmount(where: str) -> None:
    """Detach what is mounted there."""
    syscall(NUMBERS["umount2"], where.encode(), MNT_DETACH)


def _mount(what: str | None, where: str, kind: str | None, flags: int, options: str | None) -> None:
    source, target, file_system, data = (
        None if word is None else word.encode() for word in (what, where, kind, options)
    )
    syscall(NUMBERS["mount"], source, target, file_system, flags, data)
