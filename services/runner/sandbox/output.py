"""Reads a job's output from a pipe, in the event loop: keeps the beginning, counts the rest.

Promises: the pipe is always drained to its end, so the job never stands still for a slow reader; memory is
bounded by `keep_bytes`, or by `spill_bytes`, beyond which what is kept is in a file; who writes byte by byte is read a
little later, so that it keeps nobody else waiting; what is cut off since the disk takes no more says so.
"""

import asyncio
import errno
import os
from collections.abc import Callable

import structlog

from services.runner.sandbox.box import Captured
from services.runner.sandbox.spill_file import SpillFile

READ_BYTES = 64 * 1024
#: After so many reads that brought so little, a pause comes before each: a pipe can be made to give a byte at a time.
SMALL_BYTES = 4096
SMALL_READS = 64
PAUSE_SECONDS = 0.002
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

log = structlog.get_logger()


class OutputReader:
    """Owns the reading end of a pipe until everybody has closed the writing end."""

    def __init__(
        self,
        fd: int,
        keep_bytes: int,
        kept: Callable[[int, bytes], None],
        read: Callable[[int], None],
        spill_bytes: int | None = None,
    ) -> None:
        self._fd = fd
        self._keep_bytes = keep_bytes
        self._spill_bytes = keep_bytes if spill_bytes is None else spill_bytes
        self._spilled: SpillFile | None = None
        self._problem = ""
        self._kept = kept
        self._read = read
        self._data = bytearray()
        self._total = 0
        self._small_reads = 0
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._readable)

    @property
    def captured(self) -> Captured:
        """What has come so far."""
        return Captured(bytes(self._data), self._total, self._spilled, self._problem)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._end()
            return
        self._take(data)
        self._small_reads += len(data) < SMALL_BYTES
        if self._small_reads > SMALL_READS:
            self._loop.remove_reader(self._fd)
            self._loop.call_later(PAUSE_SECONDS, self._loop.add_reader, self._fd, self._readable)

    def _take(self, data: bytes) -> None:
        kept = data[: max(0, self._keep_bytes - self._total)]
        offset = self._total
        self._total += len(data)
        if kept:
            self._keep(kept)
            self._kept(offset, kept)
        self._read(len(data))

    def _keep(self, data: bytes) -> None:
        if self._spilled is None and len(self._data) + len(data) <= self._spill_bytes:
            self._data += data
            return
        try:
            spilled = self._spilled or self._spill()
            spilled.add(data)
        except OSError as error:
            log.warning("output.cut_off", error=str(error))
            self._keep_bytes, self._problem = 0, _told(error)

    def _spill(self) -> SpillFile:
        """What has come so far is on disk; it stays in memory if there is no room for it."""
        spilled = SpillFile()
        spilled.add(bytes(self._data))
        self._spilled = spilled
        self._data.clear()
        return spilled

    def _end(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        if not self.ended.done():
            self.ended.set_result(None)


def _told(error: OSError) -> str:
    return "the runner's disk is full" if error.errno in NO_ROOM else f"the runner's disk does not take it: {error}"
