"""A client's connection to ingest, open while its context lasts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from taskandgo.api import scheduler_pb2_grpc

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Whoever waits for a server that is away shall see it soon after it is back.
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A person's server is near; going through a proxy named in the environment would only break it.
    ("grpc.enable_http_proxy", 0),
]


@asynccontextmanager
async def connect(server: str) -> "AsyncIterator[SchedulerAsyncStub]":
    """The API at host:port; calls fail with UNAVAILABLE at once while nobody listens there."""
    async with grpc.aio.insecure_channel(server, options=OPTIONS) as channel:
        yield scheduler_pb2_grpc.SchedulerStub(channel)
