"""A runner's own directory of groups in one hierarchy, `taskandgo/<runner>` below its own group.

Promises: it is locked for as long as the runner lives, so that whoever starts in the same place knows which runners are
dead, and sweeps what they left; two living runners never share one.
"""

import fcntl
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from services.runner.sandbox.cgroups.emptying import clear, removed, subgroups

PARENT = "taskandgo"
NAME_LENGTH = 64


class RunnerDirectory:
    """OSError if it may not be made, or if a runner of this name lives here."""

    def __init__(self, own: str, runner: str) -> None:
        self._parent = f"{own}/{PARENT}"
        self.path = f"{self._parent}/{_directory_name(runner)}"
        with _locked(self._parent), ExitStack() as undo:
            self._lock = self._claim(runner)
            undo.callback(os.close, self._lock)
            for group in subgroups(self._parent):
                self._sweep(f"{self._parent}/{group}")
            undo.pop_all()

    def close(self) -> None:
        """Kill what is left in any group, remove them all, and let go of the runner's name."""
        with _locked(self._parent):
            clear(self.path)
            os.close(self._lock)
            removed(self._parent)

    def _claim(self, runner: str) -> int:
        Path(self.path).mkdir(exist_ok=True)
        lock = _lock(self.path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock is None:
            raise FileExistsError(None, f"another runner called {runner} runs here", self.path)
        return lock

    def _sweep(self, group: str) -> None:
        if group == self.path:
            for box in subgroups(group):
                clear(f"{group}/{box}")
            return
        lock = _lock(group, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock is not None:
            clear(group)
            os.close(lock)


def _directory_name(runner: str) -> str:
    # Other characters could name a file of the kernel's, or lead elsewhere; the sum keeps apart what now looks alike.
    return f"{re.sub(r'[^A-Za-z0-9-]', '-', runner)[:NAME_LENGTH]}-{zlib.crc32(runner.encode()):08x}"


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Wait until nobody else starts or ends here."""
    lock = None
    while lock is None:
        Path(directory).mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # whoever ended last removed it
            lock = _lock(directory, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def _lock(directory: str, how: int) -> int | None:
    """The lock, until it is closed; None if another has it."""
    with ExitStack() as undo:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.callback(os.close, fd)
        try:
            fcntl.flock(fd, how)
        except BlockingIOError:
            return None
        if not os.path.samestat(os.fstat(fd), Path(directory).stat()):
            return None
        undo.pop_all()
        return fd
