"""Wires the monitor: settings, broker and store in; five consumers and the metrics page running."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from services.monitor.metrics import Metrics
from services.monitor.on_chunk_finished import OnChunkFinished
from services.monitor.on_chunk_started import OnChunkStarted
from services.monitor.on_dead_letter import OnDeadLetter
from services.monitor.on_runner_heartbeat import OnRunnerHeartbeat
from services.monitor.on_task_finished import OnTaskFinished
from services.monitor.read_backlog import ReadBacklog
from services.monitor.settings import MonitorSettings
from taskandgo.broker import topology
from taskandgo.broker.broker import Broker
from taskandgo.broker.connect import open_broker
from taskandgo.broker.handling import decoded
from taskandgo.clock import SystemClock
from taskandgo.errors import StoreAwayError
from taskandgo.lifecycle import until_stopped
from taskandgo.messages import ChunkFinished, ChunkStarted, RunnerHeartbeat, TaskFinished
from taskandgo.rpc.http_server import serve_http
from taskandgo.rpc.ops_routes import ops_routes
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from taskandgo.telemetry.logs import configure_logs

PREFETCH = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MonitorService:
    """A running monitor, with the address it really listens on."""

    http_address: str


@asynccontextmanager
async def serve(settings: MonitorSettings, broker: Broker, store: Store) -> AsyncIterator[MonitorService]:
    """Run a monitor while the context lasts."""
    clock, metrics = SystemClock(), Metrics()
    heartbeats = OnRunnerHeartbeat(clock)
    metrics.registry.register(heartbeats)
    alive = topology.listener(f"monitor.runner-heartbeat.{uuid.uuid4().hex}", "runner.heartbeat")
    consumers = (
        (topology.MONITOR_TASK_FINISHED, decoded(OnTaskFinished(metrics), TaskFinished)),
        (topology.MONITOR_CHUNK_STARTED, decoded(OnChunkStarted(metrics), ChunkStarted)),
        (topology.MONITOR_CHUNK_FINISHED, decoded(OnChunkFinished(metrics), ChunkFinished)),
        (topology.MONITOR_DEAD_LETTER, OnDeadLetter(metrics)),
        (alive, decoded(heartbeats, RunnerHeartbeat)),
    )
    async with AsyncExitStack() as stack:
        for queue, handler in consumers:
            subscription = await broker.consume(queue, handler, prefetch=PREFETCH)
            stack.push_async_callback(subscription.stop)

        async def ready() -> dict[str, bool]:
            return {"broker": broker.connected, "store": await _answers(store)}

        app = Starlette(routes=ops_routes(ready, metrics.registry))
        reading = _before_metrics(app, ReadBacklog(store, metrics, clock))
        yield MonitorService(await stack.enter_async_context(serve_http(reading, settings.monitor_http_listen)))


def _before_metrics(app: ASGIApp, read: Callable[[], Awaitable[None]]) -> ASGIApp:
    """The app, with what waits read anew before each scrape."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/metrics":
            await read()
        await app(scope, receive, send)

    return call


async def _answers(store: Store) -> bool:
    try:
        await store.ping()
    except StoreAwayError:
        return False
    return True


async def main() -> None:
    """Run a monitor as a process of its own until it is told to stop."""
    settings = load(MonitorSettings)
    configure_logs(settings, "monitor")
    async with (
        open_store(settings.store_url) as store,
        open_broker(settings) as broker,
        serve(settings, broker, store) as service,
    ):
        log.info("monitor.started", http=service.http_address)
        await until_stopped()
        log.info("monitor.draining")
