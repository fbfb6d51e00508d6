"""What the store is given and what it answers about blobs and outputs: frozen values."""

from array import array
from dataclasses import dataclass

from taskandgo.task import BlobRef, Value


class Written(Value, frozen=True):
    """A blob that has been written under an id of its own."""

    blob_id: str
    sha256: str
    size_bytes: int
    lines: int


class Piece(Value, frozen=True):
    """A piece of a blob, and how many ends of lines are in all pieces before it."""

    number: int
    lines_before: int
    data: bytes


class BlobTotal(Value, frozen=True):
    """All blobs together."""

    count: int
    size_bytes: int


class BlobRecord(Value, frozen=True):
    """A blob as the store knows it; a last line counts also when it has no end."""

    sha256: str
    size_bytes: int
    lines: int


@dataclass(frozen=True, slots=True)
class LineEnds:
    """Where consecutive lines of a blob end, in bytes from its beginning; the first line is counted from 1."""

    first_line: int
    ends: "array[int]"

    def end_of(self, line: int) -> int | None:
        """The end of this line; None if it is not among them."""
        place = line - self.first_line
        return self.ends[place] if 0 <= place < len(self.ends) else None


class ChunkWrote(Value, frozen=True):
    """A stream of a chunk as it was kept: its bytes, or the blob that has them."""

    chunk_index: int
    data: bytes = b""
    blob: BlobRef | None = None

    @property
    def size_bytes(self) -> int:
        """How much of it there is."""
        return self.blob.size_bytes if self.blob else len(self.data)
