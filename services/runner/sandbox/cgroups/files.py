"""Files of the kernel's that are read and written again and again: opened once, and then one call each time."""

import os
from contextlib import ExitStack, closing
from pathlib import Path

READ_BYTES = 4096


class OpenFile:
    """A file of a group's, until `close`; an OSError names it."""

    def __init__(self, path: str, how: int) -> None:
        self.path = path
        self._fd = os.open(path, how | os.O_CLOEXEC)

    def read(self) -> bytes:
        """All of it, as it is now."""
        return os.pread(self._fd, READ_BYTES, 0)

    def number(self) -> int:
        """The number that it holds."""
        return int(self.read())

    def count(self, key: bytes) -> int:
        """The number beside the key, in a file of `key number` lines; 0 if it is not there."""
        for line in self.read().splitlines():
            name, _, number = line.partition(b" ")
            if name == key:
                return int(number)
        return 0

    def write(self, text: str) -> None:
        """Set it."""
        try:
            os.pwrite(self._fd, text.encode(), 0)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None

    def fileno(self) -> int:
        """Its descriptor."""
        return self._fd

    def close(self) -> None:
        """Close it; reading and writing fail from now on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Knob:
    """A file that holds one value, and is written only when that changes."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._value: str | None = None

    def set(self, value: str) -> None:
        """Set it; after an OSError it holds what it held."""
        if value != self._value:
            self._file.write(value)
            self._value = value


class OpenFiles(ExitStack):
    """The files of one group, closed together: also when not all of them could be opened."""

    def to_read(self, path: str) -> OpenFile:
        """The file, opened for reading."""
        return self._opened(path, os.O_RDONLY)

    def to_reset(self, path: str) -> OpenFile:
        """The file, opened for both."""
        return self._opened(path, os.O_RDWR)

    def knob(self, path: str) -> Knob:
        """The file, opened for writing."""
        return Knob(self._opened(path, os.O_WRONLY))

    def _opened(self, path: str, how: int) -> OpenFile:
        file = OpenFile(path, how)
        self.callback(file.close)
        return file


def write(path: str, text: str) -> None:
    """Write to a file that is written once; the OSError names it."""
    with closing(OpenFile(path, os.O_WRONLY)) as file:
        file.write(text)


def names_in(group: str) -> frozenset[str]:
    """What there is in a group's directory."""
    return frozenset(path.name for path in Path(group).iterdir())
