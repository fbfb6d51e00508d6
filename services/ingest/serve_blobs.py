"""The internal endpoint, where runners fetch parts of blobs as input and leave output as blobs; beside the API.

Promises: nothing without a token that was made for the very attempt, part and method; one piece in memory at a time;
output is used by its task from the moment it is whole.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from services.ingest.settings import IngestSettings
from taskandgo.blob_access import token_problem
from taskandgo.clock import Clock, SystemClock
from taskandgo.errors import AwayError, BlobGoneError, TooLargeError
from taskandgo.rpc.http_server import serve_http
from taskandgo.store.blob_store import BlobStore
from taskandgo.store.store import Store
from taskandgo.task import BlobRef

ATTEMPT = "/attempts/{task_id}/{chunk_index:int}/{attempt:int}"
BEARER = "Bearer "
#: As much of a stream as a runner may be set to keep.
MOST_KEPT_BYTES = 64 * 1024 * 1024

log = structlog.get_logger()


@asynccontextmanager
async def serve_blobs(settings: IngestSettings, store: Store) -> AsyncIterator[str]:
    """Serve the endpoint; yields the host:port that it really listens on, or nothing when there are no blobs."""
    if not settings.blob_secret:
        yield ""
        return
    most_bytes = max(settings.ingest_max_blob_bytes, MOST_KEPT_BYTES)
    app = blob_endpoint(store.blobs, SystemClock(), settings.blob_secret, most_bytes)
    async with serve_http(app, settings.ingest_blob_listen) as address:
        log.info("blobs.served", address=address)
        yield address


def blob_endpoint(blobs: BlobStore, clock: Clock, secret: str, max_blob_bytes: int) -> Starlette:
    """The endpoint as an application."""
    endpoint = BlobEndpoint(blobs, clock, secret, max_blob_bytes)
    part = f"{ATTEMPT}/blobs/{{sha256}}/{{offset:int}}/{{size:int}}"
    return Starlette(
        routes=[
            Route(part, endpoint.read, methods=["GET"]),
            Route(f"{ATTEMPT}/output", endpoint.write, methods=["PUT"]),
        ]
    )


@dataclass(frozen=True, slots=True)
class BlobEndpoint:
    """What runners ask."""

    blobs: BlobStore
    clock: Clock
    secret: str
    max_blob_bytes: int

    async def read(self, request: Request) -> Response:
        """A part of a blob."""
        if refusal := self._refusal(request):
            return refusal
        wanted = request.path_params
        offset, size = wanted["offset"], wanted["size"]
        try:
            found = await self.blobs.find(wanted["sha256"])
        except AwayError as error:
            return PlainTextResponse(f"{error}\n", 503)
        if found is None or offset + size > found.size_bytes:
            return PlainTextResponse(f"there is no such part of a blob {wanted['sha256']}\n", 404)
        return StreamingResponse(self.blobs.read(found.sha256, offset, size), headers={"content-length": str(size)})

    async def write(self, request: Request) -> Response:
        """Keep what the attempt wrote."""
        if refusal := self._refusal(request):
            return refusal
        task_id = request.path_params["task_id"]
        try:
            blob = await self.blobs.write(request.stream(), self.max_blob_bytes, self.clock.now, task_id)
        except TooLargeError as error:
            return PlainTextResponse(f"{error}\n", 413)
        except (AwayError, BlobGoneError) as error:
            return PlainTextResponse(f"{error}\n", 503)
        body = msgspec.json.encode(BlobRef(sha256=blob.sha256, size_bytes=blob.size_bytes))
        return Response(body, media_type="application/json")

    def _refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        token = given.removeprefix(BEARER) if given.startswith(BEARER) else ""
        problem = token_problem(self.secret, request.method, request.url.path, token, self.clock.now())
        if not problem:
            return None
        log.warning("blob.refused", path=request.url.path, problem=problem)
        return PlainTextResponse(f"{problem}\n", 403)
