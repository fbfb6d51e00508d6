"""What a task writes while it runs, as text, block by block: the newest of it, bounded, however much it is."""

import codecs
from collections import deque
from dataclasses import dataclass, field

from taskandgo.messages import ChunkOutput
from taskandgo.task import Value
from taskandgo.words import Stream

MOST_CHARACTERS = 256 * 1024
MOST_BLOCKS = 4000
MOST_WRITERS = 1000

Writer = tuple[int, int, Stream]


class Block(Value, frozen=True):
    """A block of text and who wrote it; so many bytes before it did not get here."""

    chunk: int
    attempt: int
    stream: Stream
    text: str
    missed_bytes: int = 0


@dataclass(slots=True)
class _Written:
    """How far a stream of an attempt has come, and the beginning of a character whose end has not."""

    decoder: codecs.IncrementalDecoder
    end: int = 0


@dataclass(slots=True)
class OutputLog:
    """The newest blocks; `end` is the number of the next one."""

    end: int = 0
    _blocks: deque[Block] = field(default_factory=deque)
    _characters: int = 0
    _writers: dict[Writer, _Written] = field(default_factory=dict)

    def take(self, message: ChunkOutput) -> None:
        """Append what an attempt wrote; a character may be cut in two by the end of a block."""
        written = self._written((message.chunk_index, message.attempt, message.stream))
        missed, written.end = max(0, message.offset - written.end), message.offset + len(message.data)
        text = written.decoder.decode(message.data)
        if not text:
            return
        block = Block(
            chunk=message.chunk_index,
            attempt=message.attempt,
            stream=message.stream,
            text=text,
            missed_bytes=missed,
        )
        self._blocks.append(block)
        self._characters += len(text)
        self.end += 1
        while self._characters > MOST_CHARACTERS or len(self._blocks) > MOST_BLOCKS:
            self._characters -= len(self._blocks.popleft().text)

    def since(self, place: int) -> tuple[list[Block], bool]:
        """The blocks from a place on, and whether some between were forgotten."""
        start = self.end - len(self._blocks)
        skipped = max(0, place - start)
        return [block for number, block in enumerate(self._blocks) if number >= skipped], place < start

    def _written(self, writer: Writer) -> _Written:
        if writer not in self._writers:
            if len(self._writers) >= MOST_WRITERS:
                del self._writers[next(iter(self._writers))]
            self._writers[writer] = _Written(codecs.getincrementaldecoder("utf-8")(errors="replace"))
        return self._writers[writer]
