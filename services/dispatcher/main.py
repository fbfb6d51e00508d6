"""Wires the dispatcher: settings, broker and store in; four consumers running."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette

from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.on_chunk_finished import OnChunkFinished
from services.dispatcher.on_chunk_started import OnChunkStarted
from services.dispatcher.on_task_cancelled import OnTaskCancelled
from services.dispatcher.on_task_submitted import OnTaskSubmitted
from services.dispatcher.reemit_unfinished import Reemission
from services.dispatcher.settings import DispatcherSettings
from taskandgo.broker import topology
from taskandgo.broker.broker import Broker
from taskandgo.broker.connect import open_broker
from taskandgo.broker.handling import decoded
from taskandgo.clock import SystemClock
from taskandgo.errors import StoreAwayError
from taskandgo.lifecycle import until_stopped
from taskandgo.messages import ChunkFinished, ChunkStarted, TaskCancelled, TaskSubmitted
from taskandgo.rpc.http_server import serve_http
from taskandgo.rpc.ops_routes import ops_routes
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from taskandgo.telemetry.logs import configure_logs

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DispatcherService:
    """A running dispatcher; `http_address` is empty when it serves no HTTP."""

    http_address: str


@asynccontextmanager
async def serve(settings: DispatcherSettings, broker: Broker, store: Store) -> AsyncIterator[DispatcherService]:
    """Run a dispatcher; leaving the context finishes the messages under way."""
    metrics = DispatcherMetrics()
    on_chunk_finished = OnChunkFinished(broker, store, metrics, settings.dispatcher_max_lost)
    on_task_submitted = OnTaskSubmitted(broker, store, metrics)
    consumers = (
        (topology.DISPATCHER_CHUNK_FINISHED, decoded(on_chunk_finished, ChunkFinished)),
        (topology.DISPATCHER_CHUNK_STARTED, decoded(OnChunkStarted(broker, store), ChunkStarted)),
        (topology.DISPATCHER_TASK_CANCELLED, decoded(OnTaskCancelled(broker, store), TaskCancelled)),
        (topology.DISPATCHER_TASK_SUBMITTED, decoded(on_task_submitted, TaskSubmitted)),
    )
    async with AsyncExitStack() as stack:
        if not broker.durable:
            await Reemission(broker, store, on_task_submitted, on_chunk_finished, SystemClock()).run()
        for queue, handler in consumers:
            timed = metrics.timed(queue.name, handler)
            subscription = await broker.consume(queue, timed, prefetch=settings.dispatcher_prefetch)
            stack.push_async_callback(subscription.stop)
        yield DispatcherService(await _serve_ops(stack, settings, broker, store, metrics))


async def _serve_ops(
    stack: AsyncExitStack, settings: DispatcherSettings, broker: Broker, store: Store, metrics: DispatcherMetrics
) -> str:
    if not settings.dispatcher_http_listen:
        return ""

    async def ready() -> dict[str, bool]:
        return {"broker": broker.connected, "store": await _answers(store)}

    app = Starlette(routes=ops_routes(ready, metrics.registry))
    return await stack.enter_async_context(serve_http(app, settings.dispatcher_http_listen))


async def _answers(store: Store) -> bool:
    try:
        await store.ping()
    except StoreAwayError:
        return False
    return True


async def main() -> None:
    """Run a dispatcher as a process of its own until it is told to stop."""
    settings = load(DispatcherSettings)
    configure_logs(settings, "dispatcher")
    async with (
        open_store(settings.store_url) as store,
        open_broker(settings) as broker,
        serve(settings, broker, store) as service,
    ):
        log.info("dispatcher.started", http=service.http_address)
        await until_stopped()
        log.info("dispatcher.draining")
