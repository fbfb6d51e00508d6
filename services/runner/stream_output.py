"""Publishes what a chunk writes while it runs, in blocks; a task's only chunk sends none if it ends within 50 ms.

Promises: blocks of a stream come in order; what was not sent is in the result. One of many chunks sends all it
wrote, since the task's result comes much later and does not tell whose output is whose; but no chunk sends more
than the first 8 MiB of a stream.
"""

import asyncio

from taskandgo.broker.broker import Broker
from taskandgo.messages import ChunkOutput, ChunkReady
from taskandgo.words import Stream

FLUSH_SECONDS = 0.05
BLOCK_BYTES = 64 * 1024
#: Nobody reads more of it as it is written, and the broker has others to serve.
MOST_BYTES = 8 * 1024 * 1024


class StreamOutput:
    """Collects one attempt's output and publishes it."""

    def __init__(self, broker: Broker, chunk: ChunkReady) -> None:
        self._broker = broker
        self._chunk = chunk
        self._unsent: dict[Stream, bytearray] = {stream: bytearray() for stream in Stream}
        self._offsets = dict.fromkeys(Stream, 0)
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def __call__(self, stream: Stream, offset: int, data: bytes) -> None:
        """Take a block that was written."""
        sent = data[: max(0, MOST_BYTES - offset)]
        if not sent:
            return
        self._unsent[stream] += sent
        if len(self._unsent[stream]) >= BLOCK_BYTES:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    async def close(self) -> None:
        """Send no more; return when what is being sent is out."""
        if self._chunk.chunk_count > 1:
            self._flush()
        if self._timer:
            self._timer.cancel()
        if self._sending:
            await self._sending

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        blocks = [self._block(stream) for stream in Stream if self._unsent[stream]]
        if not blocks:
            return
        self._sending = asyncio.get_running_loop().create_task(self._send(self._sending, blocks))

    def _block(self, stream: Stream) -> ChunkOutput:
        data, offset = bytes(self._unsent[stream]), self._offsets[stream]
        self._unsent[stream].clear()
        self._offsets[stream] += len(data)
        chunk = self._chunk
        return ChunkOutput(
            task_id=chunk.task_id,
            chunk_index=chunk.chunk_index,
            attempt=chunk.attempt,
            stream=stream,
            offset=offset,
            data=data,
            watcher=chunk.watcher,
        )

    async def _send(self, before: asyncio.Task[None] | None, blocks: list[ChunkOutput]) -> None:
        if before:
            await before
        for block in blocks:
            await self._broker.publish(block)
