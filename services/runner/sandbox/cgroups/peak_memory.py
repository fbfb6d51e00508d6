"""The most memory that a cgroup v2 held, as exactly as its kernel tells.

Linux has memory.peak from 5.19 on, and has it reset from 6.12 on, by whoever writes to it and for him alone; before,
memory in use is looked at now and then.
"""

import os

from services.runner.sandbox.cgroups.files import OpenFile, OpenFiles

#: Anything does.
RESET = "reset"


class PeakMemory:
    """Counts from the last `reset` on, without what the group held already."""

    def __init__(self, group: str, files: OpenFiles) -> None:
        self._current = files.to_read(f"{group}/memory.current")
        self._left_bytes = 0
        self._looked_bytes = 0
        self._peak = _resettable(f"{group}/memory.peak", files)
        #: Whether `reset` does so, and the group can be used again.
        self.is_resettable = self._peak is not None
        if not self._peak and os.access(f"{group}/memory.peak", os.R_OK):
            self._peak = files.to_read(f"{group}/memory.peak")

    def reset(self) -> None:
        """Count from here."""
        self._left_bytes = self.in_use_bytes()
        if self._peak:
            self._peak.write(RESET)

    def in_use_bytes(self) -> int:
        """The memory in use."""
        return self._current.number()

    def look(self) -> None:
        """Look at the memory in use, if that is all there is."""
        if self._peak is None:
            self._looked_bytes = max(self._looked_bytes, self.in_use_bytes())

    def peak_bytes(self) -> int:
        """The most so far."""
        self.look()
        return max(0, (self._peak.number() if self._peak else self._looked_bytes) - self._left_bytes)


def _resettable(path: str, files: OpenFiles) -> OpenFile | None:
    try:
        peak = files.to_reset(path)
        peak.write(RESET)  # root may open it on every kernel
    except OSError:
        return None
    return peak
