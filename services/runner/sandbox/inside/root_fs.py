"""The root that submitted code sees: system folders of the host, read-only, and nothing else of it.

Run once by a zygote, in a mount namespace of its own. Promises: no configuration, no home, no secret, none of this
product's code is in it; the places a box mounts its own files on are there, and empty.
"""

import os

from services.runner.sandbox.inside.kernel import syscall
from services.runner.sandbox.inside.mounts import bind, enter_root, keep_to_ourselves, make_read_only, mount_tmpfs
from services.runner.sandbox.inside.syscall_numbers import NUMBERS

#: A folder that is on every Linux; what is mounted on it moves away when it becomes the root.
STAGING = "/tmp"  # noqa: S108 - only a place to mount on
OLD, NEW = "/old", "/new"
LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
#: What the dynamic loader and Debian's own commands look up; the rest of /etc is nobody's business.
ETC = ("/etc/ld.so.cache", "/etc/alternatives")
DEVICES = ("null", "zero", "full", "random", "urandom")
PEOPLE = {"passwd": "nobody:x:65534:65534:nobody:/work:/bin/sh\n", "group": "nogroup:x:65534:\n"}
#: What a box mounts its own files on.
BOX, WORK, TMP, SHM = "/box", "/work", "/tmp", "/dev/shm"  # noqa: S108 - in the box
#: Holds SHM and devices, /dev/null among them, that everybody may write to.
DEV = "/dev"
OWN_FOLDERS = (BOX, WORK, TMP, DEV, "/etc")


def build_root(shown: list[tuple[str, str]], masked: list[str]) -> None:
    """Replace the root of this process by the box's: `shown` folders of the host, without the `masked` below them."""
    keep_to_ourselves()
    mount_tmpfs(STAGING, "mode=755,size=1m")
    _move_host_below(STAGING)
    os.mkdir(NEW)
    mount_tmpfs(NEW, "mode=755,size=1m")
    _show_system()
    for path, inside in shown:
        _show(path, inside)
    for path in masked:
        mount_tmpfs(NEW + path, "mode=755,size=4k")
        make_read_only(NEW + path)
    _make_own_files()
    make_read_only(NEW, below=False)
    enter_root(NEW)


def _move_host_below(staging: str) -> None:
    os.chdir(staging)
    os.mkdir(OLD.strip("/"))
    syscall(NUMBERS["pivot_root"], b".", OLD.strip("/").encode())
    os.chdir("/")


def _show_system() -> None:
    _show("/usr", "/usr")
    for link in (f"/{name}" for name in LINKS):
        if os.path.islink(OLD + link):
            os.symlink(os.readlink(OLD + link), NEW + link)
        elif os.path.isdir(OLD + link):
            _show(link, link)
    for path in ETC:
        if os.path.exists(OLD + path):
            _show(path, path)
    for name in DEVICES:
        _show(f"/dev/{name}", f"/dev/{name}", devices=True)


def _show(path: str, inside: str, *, devices: bool = False) -> None:
    target = NEW + inside
    if os.path.isdir(OLD + path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT, 0o644))
    bind(OLD + path, target)
    make_read_only(target, devices=devices)


def _make_own_files() -> None:
    os.makedirs(f"{NEW}/etc", exist_ok=True)
    for name, text in PEOPLE.items():
        with open(f"{NEW}/etc/{name}", "w") as file:
            file.write(text)
    for path in (BOX, WORK, TMP, SHM):
        os.makedirs(NEW + path)
