"""What machines ask every service over HTTP: is it alive, is it ready, and its metrics."""

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def ops_routes(
    ready: Callable[[], Awaitable[dict[str, bool]]],
    registry: CollectorRegistry,
    before_metrics: Callable[[], Awaitable[None]] | None = None,
) -> list[Route]:
    """GET /livez, /readyz (503 while any of what `ready` tells is False) and /metrics (after `before_metrics`)."""

    async def livez(_request: Request) -> Response:
        return JSONResponse({"alive": True})

    async def readyz(_request: Request) -> Response:
        parts = await ready()
        return JSONResponse(parts, 200 if all(parts.values()) else 503)

    async def metrics(request: Request) -> Response:
        if before_metrics is not None:
            await before_metrics()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
