"""The most memory that a cgroup v2 held, as exactly as its kernel tells.

Linux has memory.peak from 5.19 on, and has it reset from 6.12 on; before, memory in use is looked at now and then.
"""

import contextlib
import os

from services.runner.sandbox.cgroup_files import read

NUMBER_BYTES = 32


class PeakMemory:
    """Counts from its making on, without what the group held already."""

    def __init__(self, group: str) -> None:
        self._current = f"{group}/memory.current"
        self._left_bytes = int(read(self._current))
        self._looked_bytes = 0
        self._fd = _reset(f"{group}/memory.peak")

    def look(self) -> None:
        """Look at the memory in use, if that is all there is."""
        if self._fd is None:
            self._looked_bytes = max(self._looked_bytes, int(read(self._current)))

    def peak_bytes(self) -> int:
        """The most so far."""
        self.look()
        highest = self._looked_bytes if self._fd is None else int(os.pread(self._fd, NUMBER_BYTES, 0))
        return max(0, highest - self._left_bytes)

    def close(self) -> None:
        """Count no more."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_resettable(group: str) -> bool:
    """Whether the kernel has the peak reset for whoever writes to it: the file does not open for that otherwise."""
    try:
        os.close(os.open(f"{group}/memory.peak", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _reset(peak: str) -> int | None:
    with contextlib.suppress(OSError):
        fd = os.open(peak, os.O_RDWR | os.O_CLOEXEC)
        os.write(fd, b"reset")
        return fd
    with contextlib.suppress(FileNotFoundError):
        return os.open(peak, os.O_RDONLY | os.O_CLOEXEC)
    return None
