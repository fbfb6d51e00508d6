"""What a task writes while it runs, as text, block by block: the newest of it, bounded, however much it is."""

import codecs
from collections import deque
from dataclasses import dataclass, field

from taskandgo.messages import ChunkOutput
from taskandgo.task import Value
from taskandgo.words import Stream

MOST_CHARACTERS = 256 * 1024
MOST_BLOCKS = 4000
MOST_DECODERS = 1000

Decoder = codecs.IncrementalDecoder


class Block(Value, frozen=True):
    """A block of text and who wrote it."""

    chunk: int
    attempt: int
    stream: Stream
    text: str


@dataclass(slots=True)
class OutputLog:
    """The newest blocks; `end` is the number of the next one."""

    end: int = 0
    _blocks: deque[Block] = field(default_factory=deque)
    _characters: int = 0
    _decoders: dict[tuple[int, int, Stream], Decoder] = field(default_factory=dict)

    def take(self, message: ChunkOutput) -> None:
        """Append what an attempt wrote; a character may be cut in two by the end of a block."""
        text = self._decoder(message).decode(message.data)
        if not text:
            return
        block = Block(chunk=message.chunk_index, attempt=message.attempt, stream=message.stream, text=text)
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

    def _decoder(self, message: ChunkOutput) -> Decoder:
        writer = (message.chunk_index, message.attempt, message.stream)
        if writer not in self._decoders:
            if len(self._decoders) >= MOST_DECODERS:
                del self._decoders[next(iter(self._decoders))]
            self._decoders[writer] = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return self._decoders[writer]
