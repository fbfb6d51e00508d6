"""Says which part of a blob is a chunk's input, and lets its attempt get at that; called when a chunk is emitted.

Promises: lines are looked up, never copied; a bounded number of looked-up pieces is remembered, since the next chunk
begins where this one ends.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta

from services.dispatcher.strategies.split import Share
from taskandgo.blob_access import READ, WRITE, Attempt, BlobAccess, BlobPart, make_token
from taskandgo.clock import Clock
from taskandgo.store.blob_records import LineEnds
from taskandgo.store.blob_store import BlobStore
from taskandgo.task import BlobRef

REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class HandOutBlobs:
    """Hands out access to blobs at an address; nothing is handed out without a secret."""

    store: BlobStore
    clock: Clock
    url: str
    secret: str
    token_seconds: float
    _looked_up: OrderedDict[tuple[str, int], LineEnds] = field(default_factory=OrderedDict)

    async def part(self, share: Share) -> BlobPart | None:
        """The part that the share is; None if it is in no blob."""
        if share.blob is None:
            return None
        first, last = share.lines or (0, None)
        start = await self._end_of(share.blob, first)
        end = share.blob.size_bytes if last is None else await self._end_of(share.blob, last)
        return BlobPart(sha256=share.blob.sha256, offset_bytes=start, size_bytes=end - start)

    def access(self, attempt: Attempt, part: BlobPart | None) -> BlobAccess | None:
        """What lets the attempt read this part, and leave its output."""
        if not self.secret:
            return None
        until = self.clock.now() + timedelta(seconds=self.token_seconds)
        read = make_token(self.secret, READ, attempt.read_path(part), until) if part else ""
        write = make_token(self.secret, WRITE, attempt.write_path, until)
        return BlobAccess(url=self.url, read_token=read, write_token=write)

    async def _end_of(self, blob: BlobRef, line: int) -> int:
        """Where so many lines end, in bytes."""
        if not line:
            return 0
        for (sha256, _), known in self._looked_up.items():
            if sha256 == blob.sha256 and (end := known.end_of(line)) is not None:
                return end
        return await self._look_up(blob, line)

    async def _look_up(self, blob: BlobRef, line: int) -> int:
        found = await self.store.line_ends(blob.sha256, line)
        self._looked_up[blob.sha256, found.first_line] = found
        while len(self._looked_up) > REMEMBERED:
            self._looked_up.popitem(last=False)
        return found.ends[line - found.first_line]
