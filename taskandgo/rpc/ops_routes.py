"""What machines ask every service over HTTP: is it alive, is it ready, and its metrics."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from taskandgo.telemetry.process_metrics import PROCESS

#: How a page is encoded: our names need no escaping, and looking through each for what does is a third of the work.
UNESCAPED: dict[str, Any] = {"escaping": ALLOWUTF8}


@dataclass(frozen=True, slots=True)
class Page:
    """What a service's page shows: its own metrics, and its process's if they are to be on this page."""

    service: str
    registry: CollectorRegistry

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        yield from self.registry.collect()
        if PROCESS.shown_by == self.service:
            yield from PROCESS.registry.collect()


def ops_routes(
    service: str,
    ready: Callable[[], Awaitable[dict[str, bool]]],
    registry: CollectorRegistry,
    before_metrics: Callable[[], Awaitable[None]] | None = None,
) -> list[Route]:
    """GET /livez, /readyz (503 while any of what `ready` tells is False) and /metrics (after `before_metrics`)."""
    page = Page(service, registry)

    async def livez(_request: Request) -> Response:
        return JSONResponse({"alive": True})

    async def readyz(_request: Request) -> Response:
        parts = await ready()
        return JSONResponse(parts, 200 if all(parts.values()) else 503)

    async def metrics(request: Request) -> Response:
        if before_metrics is not None:
            await before_metrics()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(partial(encode, **UNESCAPED)(page), headers={"content-type": content_type})

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
