"""Wires the monitor: settings, broker and store in; its consumers, the metrics page and the dashboard running."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette
from starlette.routing import Mount

from services.monitor.dashboard.dashboard import dashboard
from services.monitor.metrics import Metrics
from services.monitor.on_chunk_finished import OnChunkFinished
from services.monitor.on_chunk_started import OnChunkStarted
from services.monitor.on_dead_letter import OnDeadLetter
from services.monitor.on_runner_heartbeat import OnRunnerHeartbeat
from services.monitor.on_task_finished import OnTaskFinished
from services.monitor.read_backlog import ReadBacklog
from services.monitor.settings import MonitorSettings
from taskandgo.broker import topology
from taskandgo.broker.broker import Broker, Handler
from taskandgo.broker.connect import open_broker
from taskandgo.broker.handling import decoded
from taskandgo.clock import Clock, SystemClock
from taskandgo.errors import StoreAwayError
from taskandgo.lifecycle import until_stopped
from taskandgo.messages import ChunkFinished, ChunkStarted, RunnerHeartbeat, TaskFinished
from taskandgo.rpc.http_server import serve_http
from taskandgo.rpc.ops_routes import ops_routes
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from taskandgo.telemetry.logs import configure_logs
from taskandgo.telemetry.process_metrics import watching_process

PREFETCH = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MonitorService:
    """A running monitor, with the address it really listens on."""

    http_address: str


@asynccontextmanager
async def serve(
    settings: MonitorSettings, broker: Broker, store: Store, clock: Clock | None = None
) -> AsyncIterator[MonitorService]:
    """Run a monitor; leaving the context finishes the messages under way."""
    clock, metrics = clock or SystemClock(), Metrics()
    heartbeats = OnRunnerHeartbeat(metrics, clock, settings.monitor_runner_gone_seconds)
    backlog = ReadBacklog(store, broker, metrics, clock)

    async def before_metrics() -> None:
        await backlog(heartbeats.show())

    async with AsyncExitStack() as stack:
        for queue, handler in _consumers(metrics, heartbeats, clock):
            subscription = await broker.consume(queue, handler, prefetch=PREFETCH)
            stack.push_async_callback(subscription.stop)
        stack.push_async_callback(backlog.close)
        ops = ops_routes("monitor", _readiness(broker, store), metrics.registry, before_metrics)
        pages = await stack.enter_async_context(dashboard(settings, broker, store, clock))
        app = Starlette(routes=[*ops, Mount("/", pages.app)])
        address = await stack.enter_async_context(serve_http(app, settings.monitor_http_listen))
        stack.push_async_callback(pages.let_go)
        yield MonitorService(address)


def _consumers(metrics: Metrics, heartbeats: OnRunnerHeartbeat, clock: Clock) -> list[tuple[topology.Queue, Handler]]:
    alive = topology.listener(f"monitor.runner-heartbeat.{uuid.uuid4().hex}", "runner.heartbeat")
    return [
        (topology.MONITOR_TASK_FINISHED, decoded(OnTaskFinished(metrics, clock), TaskFinished)),
        (topology.MONITOR_CHUNK_STARTED, decoded(OnChunkStarted(metrics, clock), ChunkStarted)),
        (topology.MONITOR_CHUNK_FINISHED, decoded(OnChunkFinished(metrics, clock), ChunkFinished)),
        (topology.MONITOR_DEAD_LETTER, OnDeadLetter(metrics)),
        (alive, decoded(heartbeats, RunnerHeartbeat)),
    ]


def _readiness(broker: Broker, store: Store) -> Callable[[], Awaitable[dict[str, bool]]]:
    async def ready() -> dict[str, bool]:
        return {"broker": broker.connected, "store": await _answers(store)}

    return ready


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
        watching_process("monitor"),
        open_store(settings.store_url, settings.store_timeout_seconds) as store,
        open_broker(settings) as broker,
        serve(settings, broker, store) as service,
    ):
        log.info("monitor.started", http=service.http_address)
        await until_stopped()
        log.info("monitor.draining")
