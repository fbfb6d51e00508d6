"""Fetches large input from ingest's internal endpoint, and takes large output there; called around a run.

Promises: neither is ever in memory as a whole, but for the sealed file that the code reads; while ingest is away it is
tried again for so long, and then `BlobsAwayError` says so; what ingest refuses is not tried again.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import httpx
import msgspec
import structlog

from services.runner.sandbox.sealed import GrowingFile
from services.runner.sandbox.spill_file import SpillFile
from taskandgo.blob_access import Attempt, BlobAccess
from taskandgo.errors import AwayError, TaskAndGoError
from taskandgo.messages import ChunkReady
from taskandgo.task import BlobRef

#: To connect; and between two blocks, one way or the other.
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
LONGEST_PAUSE_SECONDS = 5.0
SERVER_ERROR = 500
TOO_MANY = 429

Done = TypeVar("Done")

log = structlog.get_logger()


class BlobsAwayError(AwayError):
    """Ingest's internal endpoint cannot be reached."""


class BlobRefusedError(TaskAndGoError):
    """Ingest does not give, or take, a blob."""


class CarryBlobs:
    """The runner's way to blobs."""

    def __init__(self, client: httpx.AsyncClient, patience_seconds: float) -> None:
        self._client = client
        self._patience = patience_seconds

    async def fetch(self, chunk: ChunkReady) -> GrowingFile:
        """The chunk's input, sealed."""
        access, part = chunk.blobs, chunk.stdin_part
        if access is None or part is None:
            raise BlobRefusedError("the dispatcher handed out no access to it: BLOB_SECRET is not set there")
        url, file = access.url + _attempt(chunk).read_path(part), GrowingFile()
        await self._patiently(lambda: self._fetch_once(url, access.read_token, file, part.size_bytes))
        file.seal()
        return file

    async def take(self, chunk: ChunkReady, access: BlobAccess, output: SpillFile) -> BlobRef:
        """The blob that has this output of the chunk from now on."""
        url = access.url + _attempt(chunk).write_path
        return await self._patiently(lambda: self._take_once(url, access.write_token, output))

    async def _fetch_once(self, url: str, token: str, file: GrowingFile, size_bytes: int) -> None:
        file.begin_again()
        async with self._client.stream("GET", url, headers=_bearer(token)) as answer:
            await _check(answer)
            async for block in answer.aiter_raw():
                file.add(block)
        if file.size != size_bytes:
            raise BlobRefusedError(f"{file.size} bytes came, and not {size_bytes}")

    async def _take_once(self, url: str, token: str, output: SpillFile) -> BlobRef:
        headers = {**_bearer(token), "content-length": str(output.size)}
        answer = await self._client.put(url, headers=headers, content=_blocks(output.blocks()))
        await _check(answer)
        return msgspec.json.decode(answer.content, type=BlobRef)

    async def _patiently(self, do: Callable[[], Awaitable[Done]]) -> Done:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + self._patience, 0.1
        while True:
            try:
                return await do()
            except (httpx.TransportError, BlobsAwayError) as error:
                said = f"{type(error).__name__}: {error}" if isinstance(error, httpx.TransportError) else str(error)
                if loop.time() + pause > until:
                    raise BlobsAwayError(f"ingest was away for {self._patience:g} s ({said})") from error
                log.warning("blob.waiting", error=said)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def open_client() -> httpx.AsyncClient:
    """What speaks HTTP; a proxy that the environment names is none of ingest's."""
    return httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)


def _attempt(chunk: ChunkReady) -> Attempt:
    return Attempt(chunk.task_id, chunk.chunk_index, chunk.attempt)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    said = f"{answer.status_code} {(await answer.aread()).decode(errors='replace').strip()}"
    if answer.status_code >= SERVER_ERROR or answer.status_code == TOO_MANY:
        raise BlobsAwayError(said)
    raise BlobRefusedError(said)


async def _blocks(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block
