"""Blobs as services see them: written and read as streams, a few pieces in memory at a time.

Promises: what `write` answered is whole and committed; what breaks off leaves nothing that is found; a reader sees
all of the bytes it asked for, or an error.
"""

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from taskandgo.errors import AwayError, BlobGoneError, TooLargeError
from taskandgo.store import blobs
from taskandgo.store.blob_records import BlobRecord, BlobTotal, LineEnds, Piece, Written
from taskandgo.store.blobs import PIECE_BYTES
from taskandgo.store.database import Database

#: How many pieces are committed together.
PIECES_AT_ONCE = 4

Now = Callable[[], datetime]


class BlobStore:
    """What is too large for messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self, blocks: AsyncIterable[bytes], most_bytes: int, now: Now, task_id: str | None = None
    ) -> BlobRecord:
        """Keep the bytes, for a task if one is named; TooLargeError if they are more than the most."""
        writing = _Writing(most_bytes)
        try:
            await self._database.write(lambda c: blobs.begin(c, writing.blob_id, now()))
            async for block in blocks:
                writing.add(block)
                if writing.due:
                    await self._add(writing, now)
            writing.end()
            await self._add(writing, now)
            return await self._finish(writing.written, task_id, now)
        except BaseException:
            with contextlib.suppress(AwayError):
                await asyncio.shield(self._database.write(lambda c: blobs.discard(c, writing.blob_id)))
            raise

    async def _add(self, writing: "_Writing", now: Now) -> None:
        if pieces := writing.take():
            await self._database.write(lambda c: blobs.add_pieces(c, writing.blob_id, pieces, now()))

    async def _finish(self, written: Written, task_id: str | None, now: Now) -> BlobRecord:
        try:
            await self._database.write(lambda c: blobs.finish(c, written, task_id, now()))
        except IntegrityError:
            # Somebody else has finished the same bytes, or the task was removed, in this very moment.
            await self._database.write(lambda c: blobs.finish(c, written, task_id, now()))
        return BlobRecord(sha256=written.sha256, size_bytes=written.size_bytes, lines=written.lines)

    async def find(self, sha256: str) -> BlobRecord | None:
        """The blob with this hash; None if there is none."""
        return await self._database.read(lambda c: blobs.find(c, sha256))

    async def total(self) -> BlobTotal:
        """How many blobs there are, those being written too, and how large all are together."""
        return await self._database.read(blobs.total)

    async def read(self, sha256: str, offset_bytes: int, size_bytes: int) -> AsyncIterator[bytes]:
        """So many bytes from the offset on; BlobGoneError if it has been removed."""
        place, end = offset_bytes, offset_bytes + size_bytes
        while place < end:
            number, skipped = divmod(place, PIECE_BYTES)
            piece = await self._piece(sha256, number)
            block = piece[skipped : skipped + end - place]
            if not block:
                raise BlobGoneError(f"the blob {sha256} has no more than {place} bytes")
            place += len(block)
            yield block

    async def _piece(self, sha256: str, number: int) -> bytes:
        piece = await self._database.read(lambda c: blobs.read_piece(c, sha256, number))
        if piece is None:
            raise BlobGoneError(f"the blob {sha256} is not there, or has fewer than {number + 1} pieces")
        return piece

    async def line_ends(self, sha256: str, line: int) -> LineEnds:
        """Where lines end, this one (counted from 1) among them; BlobGoneError if there is no such line."""
        found = await self._database.read(lambda c: blobs.line_ends(c, sha256, line))
        if found is None or not found.first_line <= line < found.first_line + len(found.ends):
            raise BlobGoneError(f"the blob {sha256} is not there, or has no line {line}")
        return found

    async def remove_unused(self, before: datetime, limit: int) -> int:
        """Remove blobs that no task uses and nobody touched since an instant; how many they were."""
        return await self._database.write(lambda c: blobs.remove_unused(c, before, limit))


class _Writing:
    """A blob on its way into the store: cut into pieces, hashed and its lines counted as it comes."""

    def __init__(self, most_bytes: int) -> None:
        self.blob_id = uuid.uuid4().hex
        self._most_bytes = most_bytes
        self._hash = hashlib.sha256()
        self._held = bytearray()
        self._pieces: list[Piece] = []
        self._count = self._size = self._lines = 0
        self._last = b""

    @property
    def due(self) -> bool:
        """Whether there is enough to be committed."""
        return len(self._pieces) >= PIECES_AT_ONCE

    @property
    def written(self) -> Written:
        """All of it, at the end."""
        unended = bool(self._size) and self._last != b"\n"
        return Written(
            blob_id=self.blob_id, sha256=self._hash.hexdigest(), size_bytes=self._size, lines=self._lines + unended
        )

    def add(self, block: bytes) -> None:
        """Take the next bytes."""
        self._size += len(block)
        if self._size > self._most_bytes:
            raise TooLargeError(f"is larger than {self._most_bytes} bytes, the most that is allowed")
        self._hash.update(block)
        self._held += block
        while len(self._held) >= PIECE_BYTES:
            self._cut(bytes(self._held[:PIECE_BYTES]))
            del self._held[:PIECE_BYTES]

    def end(self) -> None:
        """There are no more bytes."""
        if self._held:
            self._cut(bytes(self._held))

    def take(self) -> list[Piece]:
        """What is to be committed."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _cut(self, data: bytes) -> None:
        self._pieces.append(Piece(number=self._count, lines_before=self._lines, data=data))
        self._count += 1
        self._lines += data.count(b"\n")
        self._last = data[-1:]
