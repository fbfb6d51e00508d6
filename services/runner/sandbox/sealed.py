"""Files in memory that nobody can change any more, to be handed to submitted code by descriptor."""

import errno
import fcntl
import os

SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


#: A machine may refuse to run files in memory that do not ask for it; Linux before 6.3 knows no asking.
MFD_EXEC = 0x10


def seal(*parts: bytes, executable: bool = False) -> int:
    """A descriptor of a file with these bytes, at its beginning; ours to close."""
    fd = _create(executable=executable)
    for part in parts:
        _write(fd, part)
    _close_up(fd)
    return fd


class SealedFile:
    """A sealed file, fit to be executed, that is closed with the last one who holds it."""

    def __init__(self, data: bytes) -> None:
        self.fd = seal(data, executable=True)
        self.size = len(data)

    def __del__(self) -> None:
        """Close it."""
        os.close(self.fd)


class GrowingFile:
    """A file in memory that is written piece by piece, and sealed at the end; closed as a sealed one is."""

    def __init__(self) -> None:
        self.fd = _create(executable=False)
        self.size = 0

    def add(self, block: bytes) -> None:
        """Write the next bytes."""
        _write(self.fd, block)
        self.size += len(block)

    def begin_again(self) -> None:
        """Forget what was written."""
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        self.size = 0

    def seal(self) -> None:
        """Let nobody change it any more, and have it read from its beginning."""
        _close_up(self.fd)

    def __del__(self) -> None:
        """Close it."""
        os.close(self.fd)


def _create(*, executable: bool) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("sealed", flags | MFD_EXEC * executable)
    except OSError as error:
        if not executable or error.errno != errno.EINVAL:
            raise
        return os.memfd_create("sealed", flags)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _close_up(fd: int) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
