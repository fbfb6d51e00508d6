"""An HTTP server that runs while its context lasts, on a socket of its own; wired by each service's main."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from taskandgo.errors import SettingsError
from taskandgo.settings import parse_listen

GRACE_SECONDS = 5


class _Server(uvicorn.Server):
    """Leaves signals to the service."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@asynccontextmanager
async def serve_http(app: ASGIApp, listen: str) -> AsyncIterator[str]:
    """Serve the app; yields the real host:port. Leaving the context lets requests end within 5 s."""
    bound = _bind(*parse_listen(listen))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=GRACE_SECONDS
    )
    server = _Server(config)
    serving = asyncio.get_running_loop().create_task(server.serve([bound]))
    try:
        await server.up.wait()
        host, port = bound.getsockname()[:2]
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    finally:
        server.should_exit = True
        await serving
        bound.close()


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingsError(f"cannot listen on {host}:{port} for HTTP: {error.strerror}") from error
    return bound
