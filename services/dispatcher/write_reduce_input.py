"""Writes what a task's chunks wrote, as its reduce reads it, into a blob; called when that is too large for a message.

Promises: one piece of output in memory at a time; the same lines as `reduce_stdin` makes; the task uses the blob.
"""

import base64
import codecs
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from services.dispatcher.strategies.gather import reduce_stdin
from taskandgo.clock import Clock
from taskandgo.store.blob_records import ChunkWrote
from taskandgo.store.store import Store
from taskandgo.task import BlobRef

#: How many times as large a byte can become by being escaped, replaced and told again in base64.
MOST_GROWTH = 8
LINE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class WriteReduceInput:
    """Writes the input of reduces."""

    store: Store
    clock: Clock

    async def __call__(self, task_id: str, total_bytes: int, chunk_count: int) -> BlobRef:
        """The blob with the lines of all chunks that succeeded."""
        most_bytes = MOST_GROWTH * total_bytes + LINE_BYTES * chunk_count
        written = await self.store.blobs.write(self._lines(task_id), most_bytes, self.clock.now, task_id)
        return BlobRef(sha256=written.sha256, size_bytes=written.size_bytes)

    async def _lines(self, task_id: str) -> AsyncIterator[bytes]:
        async for wrote in self.store.outputs.of_succeeded(task_id):
            if not wrote.blob:
                yield reduce_stdin([(wrote.chunk_index, wrote.data)])
                continue
            async for block in self._line(wrote):
                yield block

    async def _line(self, wrote: ChunkWrote) -> AsyncIterator[bytes]:
        yield b'{"chunk_index":%d,"stdout":"' % wrote.chunk_index
        text = _Text()
        async for block in self.store.outputs.of_chunk(wrote):
            yield text.escaped(block)
        yield text.escaped(b"", final=True) + b'"'
        if not text.is_exact:
            yield b',"stdout_bytes":"'
            async for encoded in self._base64(wrote):
                yield encoded
            yield b'"'
        yield b"}\n"

    async def _base64(self, wrote: ChunkWrote) -> AsyncIterator[bytes]:
        held = b""
        async for block in self.store.outputs.of_chunk(wrote):
            held += block
            # Three bytes are four characters; what is left over goes with the next block.
            whole = len(held) // 3 * 3
            yield base64.b64encode(held[:whole])
            held = held[whole:]
        yield base64.b64encode(held)


class _Text:
    """Bytes of UTF-8 as the inside of a JSON text, a block at a time; remembers whether they were UTF-8."""

    def __init__(self) -> None:
        self._strict = codecs.getincrementaldecoder("utf-8")("strict")
        self._lenient = codecs.getincrementaldecoder("utf-8")("replace")
        self.is_exact = True

    def escaped(self, block: bytes, *, final: bool = False) -> bytes:
        """The next block."""
        if self.is_exact:
            try:
                self._strict.decode(block, final)
            except UnicodeDecodeError:
                self.is_exact = False
        return msgspec.json.encode(self._lenient.decode(block, final))[1:-1]
