"""Runs because a client uploads input that is too large for a task: kept as it comes, answered with its SHA-256."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

import grpc

from taskandgo.api import scheduler_pb2 as api
from taskandgo.clock import Clock
from taskandgo.errors import BlobGoneError, TooLargeError
from taskandgo.rpc.refusal import RefusalError, Violation, invalid
from taskandgo.store.blob_store import BlobStore

#: The parts of an upload, or what is wrong with one of them.
Parts = AsyncIterator[api.PutBlobRequest | RefusalError]


@dataclass(frozen=True, slots=True)
class PutBlob:
    """The use case of PutBlob; with a bound of 0 there are no blobs."""

    blobs: BlobStore
    clock: Clock
    max_blob_bytes: int

    async def __call__(self, blocks: AsyncIterable[bytes]) -> api.PutBlobResponse:
        """Keep the bytes; INVALID_ARGUMENT if they are too many, or none."""
        if not self.max_blob_bytes:
            message = "this server keeps no blobs, since BLOB_SECRET is not set"
            raise RefusalError(grpc.StatusCode.FAILED_PRECONDITION, message)
        try:
            blob = await self.blobs.write(_some(blocks), self.max_blob_bytes, self.clock.now)
        except TooLargeError as error:
            raise invalid(Violation("data", str(error))) from error
        except BlobGoneError as error:
            raise RefusalError(grpc.StatusCode.ABORTED, str(error)) from error
        return api.PutBlobResponse(sha256=blob.sha256, size_bytes=blob.size_bytes)


async def data_of(parts: Parts) -> AsyncIterator[bytes]:
    """The bytes of an upload; a part that is none refuses it."""
    async for part in parts:
        if isinstance(part, RefusalError):
            raise part
        yield part.data


async def _some(blocks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    came = False
    async for block in blocks:
        came = came or bool(block)
        yield block
    if not came:
        raise invalid(Violation("data", "is empty; a task without input needs no blob"))
