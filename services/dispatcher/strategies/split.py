"""The split strategy: into how many chunks a task is cut, and what each one's share of the input is.

Promises: every element goes to exactly one chunk, in order; the sizes of two chunks differ by at most one.
"""

import re
from array import array
from dataclasses import dataclass

from taskandgo.task import BlobRef, Items, Lines, LinesBlob, Range, TaskSpec

#: Chunks for each slot when the task leaves their number open: enough that slots finish at about the same time.
CHUNKS_A_SLOT = 4


@dataclass(frozen=True, slots=True)
class Share:
    """What one chunk gets of the input: bytes; or a blob, all of it, or its lines from one up to without another.

    None in the place of the other: up to the end of the blob, since its last line may have no end of its own.
    """

    stdin: bytes
    env: dict[str, str]
    blob: BlobRef | None = None
    lines: tuple[int, int | None] | None = None


@dataclass(frozen=True, slots=True)
class LinesCut:
    """Text cut after each line feed; `ends` are the places behind the lines, in bytes."""

    text: bytes
    ends: "array[int]"

    @property
    def elements(self) -> int:
        """How many lines there are."""
        return len(self.ends)

    def share(self, start: int, stop: int) -> Share:
        """The lines from start up to without stop."""
        first = self.ends[start - 1] if start else 0
        last = self.ends[stop - 1] if stop else 0
        return Share(self.text[first:last], {})


@dataclass(frozen=True, slots=True)
class LinesBlobCut:
    """Text in a blob, cut after each line feed; where its lines end is for others to look up."""

    blob: BlobRef
    elements: int

    def share(self, start: int, stop: int) -> Share:
        """The lines from start up to without stop."""
        return Share(b"", {}, self.blob, (start, None if stop == self.elements else stop))


@dataclass(frozen=True, slots=True)
class ItemsCut:
    """JSON values."""

    items: list[str]

    @property
    def elements(self) -> int:
        """How many values there are."""
        return len(self.items)

    def share(self, start: int, stop: int) -> Share:
        """The values from start up to without stop, one a line."""
        return Share("".join(f"{item}\n" for item in self.items[start:stop]).encode(), {})


@dataclass(frozen=True, slots=True)
class RangeCut:
    """Whole numbers; what the task has on stdin goes to every chunk."""

    numbers: range
    stdin: bytes
    blob: BlobRef | None = None

    @property
    def elements(self) -> int:
        """How many numbers there are; len() would end at what the machine's words hold."""
        return max(0, -(-(self.numbers.stop - self.numbers.start) // self.numbers.step))

    def share(self, start: int, stop: int) -> Share:
        """The numbers from the one at start up to without the one at stop."""
        first, step = self.numbers.start, self.numbers.step
        end = self.numbers.stop if stop == self.elements else first + stop * step
        bounds = {"RANGE_START": first + start * step, "RANGE_STOP": end, "RANGE_STEP": step}
        return Share(self.stdin, {name: str(value) for name, value in bounds.items()}, self.blob)


@dataclass(frozen=True, slots=True)
class NoCut:
    """Nothing to cut: the chunks differ by their index, and what the task has on stdin goes to every one."""

    chunks: int
    stdin: bytes
    blob: BlobRef | None = None

    @property
    def elements(self) -> int:
        """As many as there are chunks."""
        return self.chunks

    def share(self, start: int, stop: int) -> Share:
        """All of it."""
        del start, stop
        return Share(self.stdin, {}, self.blob)


Cut = LinesCut | LinesBlobCut | ItemsCut | RangeCut | NoCut


def cut(task: TaskSpec) -> Cut:
    """The task's input, ready to be shared out."""
    match task.split.by if task.split else None:
        case Lines(text=text):
            ends = array("Q", (found.end() for found in re.finditer(b"\n", text)))
            if text and not text.endswith(b"\n"):
                ends.append(len(text))
            return LinesCut(text, ends)
        case LinesBlob(blob=blob, lines=lines):
            return LinesBlobCut(blob, lines)
        case Items(json=items):
            return ItemsCut(items)
        case Range(start=start, stop=stop, step=step):
            return RangeCut(range(start, stop, step), task.stdin, task.stdin_blob)
    return NoCut(max(1, task.split.chunks) if task.split else 1, task.stdin, task.stdin_blob)


def chunk_count(task: TaskSpec, slots: int) -> int:
    """How many chunks the task becomes, with so many slots to run them on."""
    wanted = task.split.chunks if task.split else 1
    return max(1, min(wanted or CHUNKS_A_SLOT * slots, cut(task).elements))


def bounds(elements: int, chunk_count: int, chunk_index: int) -> tuple[int, int]:
    """Which of so many elements belong to a chunk: from, and up to without."""
    size, larger = divmod(elements, chunk_count)
    start = chunk_index * size + min(chunk_index, larger)
    return start, start + size + (chunk_index < larger)


def share(of: Cut, chunk_count: int, chunk_index: int) -> Share:
    """What a chunk gets."""
    return of.share(*bounds(of.elements, chunk_count, chunk_index))
