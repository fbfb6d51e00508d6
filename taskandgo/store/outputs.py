"""What chunks wrote, whole, chunk by chunk: for whoever passes it on without ever holding all of it.

Promises: some chunks in memory at a time, however many there are; what is in blobs is told, not read.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.blob_records import ChunkWrote
from taskandgo.store.blob_store import BlobStore
from taskandgo.store.database import Database
from taskandgo.store.gathered import RAN, SUCCEEDED
from taskandgo.store.tables import chunk, task
from taskandgo.task import BlobRef
from taskandgo.words import Stream, TaskState

#: Chunks that are read together; each has at most some hundred KiB here.
PAGE = 16


class Outputs:
    """What the chunks of tasks wrote."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def of_task(self, task_id: str, stream: Stream) -> AsyncIterator[bytes]:
        """The task's own output: its reduce's; else that of its chunks in their order, of those that count."""
        wanted = await self._database.read(lambda c: _that_count(c, task_id))
        async for wrote in self._chunks(wanted, stream):
            async for block in self.of_chunk(wrote):
                yield block

    async def of_succeeded(self, task_id: str) -> AsyncIterator[ChunkWrote]:
        """What each chunk that succeeded wrote to stdout, in their order."""
        async for wrote in self._chunks([chunk.c.task_id == task_id, SUCCEEDED], Stream.STDOUT):
            yield wrote

    async def of_chunk(self, wrote: ChunkWrote) -> AsyncIterator[bytes]:
        """The bytes of one of these."""
        if not wrote.blob:
            yield wrote.data
            return
        async for block in self._blobs.read(wrote.blob.sha256, 0, wrote.blob.size_bytes):
            yield block

    async def _chunks(self, wanted: Sequence[ColumnElement[bool]], stream: Stream) -> AsyncIterator[ChunkWrote]:
        after = -1
        while page := await self._database.read(partial(_page, wanted=wanted, stream=stream, after=after)):
            for wrote in page:
                yield wrote
            after = page[-1].chunk_index


async def _that_count(connection: AsyncConnection, task_id: str) -> list[ColumnElement[bool]]:
    of_task: list[ColumnElement[bool]] = [chunk.c.task_id == task_id, RAN]
    row = (
        await connection.execute(select(task.c.state, task.c.chunk_count).where(task.c.task_id == task_id))
    ).one_or_none()
    if row is None:
        return of_task
    reduce = [chunk.c.task_id == task_id, chunk.c.chunk_index >= row.chunk_count]
    if await connection.scalar(select(chunk.c.chunk_index).where(*reduce).limit(1)) is not None:
        return [*reduce]
    return [*of_task, SUCCEEDED] if row.state == TaskState.SUCCEEDED else of_task


async def _page(
    connection: AsyncConnection, wanted: Sequence[ColumnElement[bool]], stream: Stream, after: int
) -> list[ChunkWrote]:
    names = (stream.value, f"{stream.value}_blob", f"{stream.value}_blob_bytes")
    columns = select(chunk.c.chunk_index, *(chunk.c[name] for name in names))
    rows = await connection.execute(
        columns.where(*wanted, chunk.c.chunk_index > after).order_by(chunk.c.chunk_index).limit(PAGE)
    )
    return [
        ChunkWrote(
            chunk_index=index, data=data or b"", blob=BlobRef(sha256=sha256, size_bytes=size) if sha256 else None
        )
        for index, data, sha256, size in rows
    ]
