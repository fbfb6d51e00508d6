"""The directories of a runner's groups: `taskandgo/<runner>/<box>` below its own group in each hierarchy.

Promises: a runner's directory is locked for as long as it lives, so that one that starts in the same place knows
which others are dead, and sweeps what they left; two living runners never share one.
"""

import fcntl
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from services.runner.sandbox.cgroup_files import clear, removed, subgroups

PARENT = "taskandgo"
NAME_LENGTH = 64
#: What memory may be charged to an empty group that is used again.
REUSE_BYTES = 4 * 1024 * 1024


class RunnerGroups:
    """Makes and keeps the groups of one runner; OSError if it may not, or if one of its name lives here.

    `renew` makes a used group like new, known by its directory's name, or says that it is not empty or of no more use.
    """

    def __init__(self, own: Sequence[str], runner: str, renew: Callable[[str], bool]) -> None:
        self._parents = [f"{group}/{PARENT}" for group in dict.fromkeys(own)]
        self._name = _directory_name(runner)
        self._renew = renew
        self._used: list[str] = []
        with _locked(self._parents[0]), ExitStack() as undo:
            self._lock = _claim(f"{self._parents[0]}/{self._name}", self._name)
            undo.callback(os.close, self._lock)
            for group in self.groups:
                Path(group).mkdir(parents=True, exist_ok=True)
            self._sweep()
            undo.pop_all()

    @property
    def below(self) -> str:
        """The path of this runner's directory below its own group."""
        return f"{PARENT}/{self._name}"

    @property
    def groups(self) -> list[str]:
        """This runner's directory in each hierarchy."""
        return [f"{parent}/{self._name}" for parent in self._parents]

    def take(self) -> str:
        """The name of an empty group that is in each hierarchy."""
        used, self._used = self._used, []
        while used:
            name = used.pop()
            if self._renew(name):
                self._used += used
                return name
            if not self._removed(name):
                self._used.append(name)
        return self._make()

    def give_back(self, name: str) -> None:
        """Keep a group for another box; whether it can be is looked at off the hot path, when one is needed."""
        self._used.append(name)

    def close(self) -> None:
        """Kill what is left in any group, remove them all, and let go of the runner's name."""
        with _locked(self._parents[0]):
            for group in reversed(self.groups):
                clear(group)
            os.close(self._lock)
            for parent in self._parents:
                removed(parent)

    def _make(self) -> str:
        name = f"box-{time.monotonic_ns()}"  # never that of a group which the last runner of our name left
        try:
            for group in self.groups:
                Path(group, name).mkdir()
        except OSError:
            self.give_back(name)
            raise
        return name

    def _removed(self, name: str) -> bool:
        left = [group for group in self.groups if not removed(f"{group}/{name}")]
        return not left

    def _sweep(self) -> None:
        names = {name for parent in self._parents for name in subgroups(parent)}
        for name in names - {self._name}:
            if not _lives(f"{self._parents[0]}/{name}"):
                for parent in self._parents:
                    clear(f"{parent}/{name}")
        for group in self.groups:
            for box in subgroups(group):
                clear(f"{group}/{box}")


def _directory_name(runner: str) -> str:
    # Other characters could name a file of the kernel's, or lead elsewhere; the sum keeps apart what now looks alike.
    return f"{re.sub(r'[^A-Za-z0-9-]', '-', runner)[:NAME_LENGTH]}-{zlib.crc32(runner.encode()):08x}"


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    locked = None
    while locked is None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        locked = _lock_if_there(directory)
    try:
        yield
    finally:
        os.close(locked)


def _lock_if_there(directory: str) -> int | None:
    """Wait for the lock; None if the one who had it removed the directory."""
    with suppress(FileNotFoundError), ExitStack() as opened:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(fd), Path(directory).stat()):
            opened.pop_all()
            return fd
    return None


def _claim(group: str, name: str) -> int:
    Path(group).mkdir(parents=True, exist_ok=True)
    fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise FileExistsError(None, f"another runner called {name} runs here", group) from None
    return fd


def _lives(group: str) -> bool:
    try:
        fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)
