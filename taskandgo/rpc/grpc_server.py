"""A gRPC server that runs while its context lasts, with reflection and health on; wired by ingest's main."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from taskandgo.errors import SettingsError
from taskandgo.rpc.unreadable_request import RefuseUnreadable

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
OPTIONS = [
    # A second server on the same port has to fail loudly, not share it.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # Calls that wait for their turn: beyond 1,000 of them gRPC would begin to drop some, unanswered, as CANCELLED.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
]


@asynccontextmanager
async def serve_grpc(
    add: Callable[[grpc.aio.Server], None], service: str, listen: str, grace_seconds: float
) -> AsyncIterator[str]:
    """Serve what `add` adds; yields the real host:port. Leaving the context lets calls end within the grace."""
    server = grpc.aio.server(options=OPTIONS, interceptors=[RefuseUnreadable(service)])
    add(server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((service, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    address = _bind(server, listen)
    for name in (service, ""):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    await server.start()
    try:
        yield address
    finally:
        await checks.enter_graceful_shutdown()
        await server.stop(grace_seconds)


def _bind(server: grpc.aio.Server, listen: str) -> str:
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise SettingsError(
            f"cannot listen on {listen} for gRPC: the port is taken, or the address is not ours"
        ) from error
    return f"{listen.rsplit(':', 1)[0]}:{port}"
