"""All four services in one process, on one in-memory broker and one store; everything drains with the context."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.dispatcher.main import serve as serve_dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.ingest.main import serve as serve_ingest
from services.ingest.serve_blobs import serve_blobs
from services.ingest.settings import IngestSettings
from services.monitor.main import serve as serve_monitor
from services.monitor.settings import MonitorSettings
from services.runner.main import serve as serve_runner
from services.runner.settings import RunnerSettings
from taskandgo.broker.connect import open_broker
from taskandgo.settings import load
from taskandgo.store.connect import open_store


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is not left to the environment; None leaves a value to it."""

    store_url: str
    grpc: str | None = None
    http: str | None = None
    metrics: str | None = None
    slots: int | None = None


@dataclass(frozen=True, slots=True)
class AllSettings:
    """The settings of the four services."""

    ingest: IngestSettings
    dispatcher: DispatcherSettings
    runner: RunnerSettings
    monitor: MonitorSettings


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the running services really listen."""

    grpc: str
    http: str
    metrics: str


def load_all(wanted: Wanted) -> AllSettings:
    """The four services' settings for one process: the environment's, with what is wanted on top."""
    broker: dict[str, Any] = {"broker_url": "memory://"}
    # Nobody outside of this process has to know it.
    blobs = {"blob_secret": os.environ.get("BLOB_SECRET") or secrets.token_hex(32)}
    both = broker | {"store_url": wanted.store_url}
    return AllSettings(
        load(
            IngestSettings,
            **both,
            **blobs,
            ingest_blob_listen=_listen("INGEST_BLOB_LISTEN") or "127.0.0.1:0",
            **_given(ingest_grpc_listen=wanted.grpc, ingest_http_listen=wanted.http),
        ),
        load(DispatcherSettings, **both, **blobs, dispatcher_http_listen=_listen("DISPATCHER_HTTP_LISTEN")),
        load(
            RunnerSettings,
            **broker,
            runner_http_listen=_listen("RUNNER_HTTP_LISTEN"),
            **_given(runner_slots=wanted.slots),
        ),
        load(MonitorSettings, **both, **_given(monitor_http_listen=wanted.metrics)),
    )


@asynccontextmanager
async def embedded(settings: AllSettings) -> AsyncIterator[Addresses]:
    """Run everything; yields where it listens."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.ingest.store_url))
        broker = await stack.enter_async_context(open_broker(settings.ingest))
        # Before the others and after them: what still runs when ingest has gone leaves its output here.
        blobs = await stack.enter_async_context(serve_blobs(settings.ingest, store))
        dispatcher = settings.dispatcher.model_copy(update={"dispatcher_blob_url": f"http://{blobs}"})
        await stack.enter_async_context(serve_dispatcher(dispatcher, broker, store))
        await stack.enter_async_context(serve_runner(settings.runner, broker))
        # Ingest comes last of the three and so goes first: nothing is taken in that nobody would work on.
        ingest = await stack.enter_async_context(serve_ingest(settings.ingest, broker, store))
        buttons = {"monitor_ingest_grpc": settings.monitor.monitor_ingest_grpc or ingest.grpc_address}
        monitor = await stack.enter_async_context(
            serve_monitor(settings.monitor.model_copy(update=buttons), broker, store)
        )
        yield Addresses(ingest.grpc_address, ingest.http_address, monitor.http_address)


def _listen(variable: str) -> str:
    # The monitor already says how this process is; a second and third port have to be asked for.
    return os.environ.get(variable, "")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
