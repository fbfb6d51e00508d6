"""A file without a name that takes what is too much for memory; it is gone when the last one who holds it is.

Submitted code cannot reach it: it has no name, and its descriptor is handed to nobody.
"""

import tempfile
from collections.abc import Iterator

BLOCK_BYTES = 64 * 1024


class SpillFile:
    """Bytes on the runner's disk."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed when nobody holds this any more
        self.size = 0

    def __del__(self) -> None:
        """Close it."""
        self._file.close()

    def add(self, block: bytes) -> None:
        """Write the next bytes; OSError if there is no room."""
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(block)

    def part(self, offset: int, most_bytes: int) -> bytes:
        """So many bytes from an offset on, or what there is."""
        self._file.seek(offset)
        return self._file.read(min(most_bytes, self.size - offset))

    def blocks(self) -> Iterator[bytes]:
        """All of it."""
        for offset in range(0, self.size, BLOCK_BYTES):
            yield self.part(offset, BLOCK_BYTES)
