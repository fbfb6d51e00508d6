"""Follows everything that goes on, for as long as somebody looks; a server that is away is waited for.

Promises: what is away is told at once and since when; once the server is back, it goes on by itself.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc

from taskandgo.api import scheduler_pb2 as api

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

RETRY_SECONDS = 1.0
#: A message comes each second; a server that is silent for so long is away, though the connection may be open.
SILENCE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Away:
    """Why the server cannot be seen, and since when."""

    why: str
    since: datetime


async def follow_cluster(stub: "SchedulerAsyncStub") -> AsyncIterator[api.Cluster | Away]:
    """How everything is, each second; or that it cannot be seen."""
    since: datetime | None = None
    while True:
        try:
            async for cluster in _clusters(stub):
                since = None
                yield cluster
            why = "the server is stopping"
        except grpc.aio.AioRpcError as error:
            why = f"{error.code().name}: {error.details()}"
        except TimeoutError:
            why = f"the server has said nothing for {SILENCE_SECONDS:g} s"
        since = since or datetime.now(UTC)
        yield Away(why, since)
        await asyncio.sleep(RETRY_SECONDS)


async def _clusters(stub: "SchedulerAsyncStub") -> AsyncIterator[api.Cluster]:
    call = stub.WatchCluster(api.WatchClusterRequest())
    messages = aiter(call)
    try:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await anext(messages, None)
            if message is None:
                return
            yield message.cluster
    finally:
        call.cancel()
