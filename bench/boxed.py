"""The work that every system is given: the same hello-world code under the same bubblewrap command line.

Promises: bare and short, so that a peer is measured with as little around its sandbox as can be.
"""

import os
import subprocess
from pathlib import Path

CODE = "print('hello, world')\n"
EXPECTED = "hello, world\n"
PYTHON = "/usr/bin/python3"
BARE = (PYTHON, "-I", "-S", "-c", "pass")
LINKS = ("bin", "sbin", "lib", "lib32", "lib64")


def run_boxed(code: str) -> str:
    """What the code writes to standard output, run in a box of its own; CalledProcessError if it fails."""
    fd = os.memfd_create("code", os.MFD_CLOEXEC)
    try:
        os.write(fd, code.encode())
        os.lseek(fd, 0, os.SEEK_SET)
        done = subprocess.run(command(fd), pass_fds=(fd,), env={}, capture_output=True, check=True, text=True)
    finally:
        os.close(fd)
    return done.stdout


def command(code_fd: int) -> list[str]:
    """The command line, with the code as a file behind a descriptor."""
    return [
        *("bwrap", "--unshare-all", "--uid", "65534", "--gid", "65534", "--die-with-parent", "--new-session"),
        *("--hostname", "box", "--clearenv", "--ro-bind", "/usr", "/usr", *_links()),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *("--perms", "0700", "--tmpfs", "/work"),
        *("--perms", "0555", "--file", str(code_fd), "/work/main.py", "--chdir", "/work"),
        *("--", PYTHON, "main.py"),
    ]


def run_bare() -> None:
    """Start a Python interpreter by hand, with no work and no box."""
    subprocess.run(BARE, check=True)


def _links() -> list[str]:
    words: list[str] = []
    for path in (Path("/") / name for name in LINKS):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return words
