"""Namespaces: those a zygote moves into once, and those every box is born in."""

import os

from services.runner.sandbox.inside.kernel import syscall
from services.runner.sandbox.inside.syscall_numbers import NUMBERS

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
#: A network without any interface, shared by all boxes of a zygote: they cannot meet in it, for neither their filter
#: nor Landlock lets them, and a network of its own for each box would cost as much as all the rest of it.
OF_A_ZYGOTE = NEWNS | NEWNET | NEWIPC | NEWUTS
#: The mount namespace is not here: the zygote makes it, and the box, which does not own it, can change nothing in it.
OF_A_BOX = NEWUSER | NEWPID | NEWIPC | NEWUTS | NEWCGROUP
JOINED = NEWUSER | NEWIPC | NEWUTS | NEWCGROUP
NOBODY = 65534
FDINFO_BYTES = 512


def become_owner(proc: int, more: int) -> None:
    """Own a new user namespace, and whatever namespaces are made from here on; the user stays; `proc` is /proc."""
    user, group = os.geteuid(), os.getegid()
    syscall(NUMBERS["unshare"], NEWUSER | more)
    process = os.open("self/", os.O_PATH, dir_fd=proc)
    map_identity(process, (user, group), (user, group))
    os.close(process)


def become(uid: int) -> None:
    """Drop from root to an ordinary user for good; for one who is that already nothing changes."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def map_identity(process: int, inside: tuple[int, int], outside: tuple[int, int]) -> None:
    """Say who user and group are inside a new user namespace; `process` is the /proc folder of one in it."""
    maps = (
        ("setgroups", "deny"),
        ("uid_map", f"{inside[0]} {outside[0]} 1"),
        ("gid_map", f"{inside[1]} {outside[1]} 1"),
    )
    for name, text in maps:
        fd = os.open(name, os.O_WRONLY, dir_fd=process)
        os.write(fd, text.encode())
        os.close(fd)


def join(descriptor: int, kinds: int) -> None:
    """Move into namespaces: of a process, by its pidfd, or one that is itself open."""
    syscall(NUMBERS["setns"], descriptor, kinds)


def number_outside(proc: int, pidfd: int) -> int:
    """The number that a process has in the namespace of `proc`, a /proc."""
    fd = os.open(f"self/fdinfo/{pidfd}", os.O_RDONLY, dir_fd=proc)
    told = os.read(fd, FDINFO_BYTES)
    os.close(fd)
    return int(told.partition(b"\nPid:")[2].split(maxsplit=1)[0])
