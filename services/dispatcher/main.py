"""Wires the dispatcher: settings, broker and store in; consumers and timers running."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import structlog
from starlette.applications import Starlette

from services.dispatcher.claims import Claims
from services.dispatcher.duplicate_stragglers import DuplicateStragglers
from services.dispatcher.emit_chunks import EmitChunks
from services.dispatcher.emit_retry import EmitRetry
from services.dispatcher.expire_task import ExpireTask
from services.dispatcher.fire_timers import FireTimers
from services.dispatcher.hand_out_blobs import HandOutBlobs
from services.dispatcher.metrics import DispatcherMetrics
from services.dispatcher.on_chunk_finished import OnChunkFinished
from services.dispatcher.on_chunk_started import OnChunkStarted
from services.dispatcher.on_runner_heartbeat import OnRunnerHeartbeat
from services.dispatcher.on_task_cancelled import OnTaskCancelled
from services.dispatcher.on_task_submitted import OnTaskSubmitted
from services.dispatcher.open_task import OpenTask
from services.dispatcher.pools import Pools
from services.dispatcher.progress import Progress
from services.dispatcher.recent_tasks import RecentTasks
from services.dispatcher.reconcile_tasks import ReconcileTasks
from services.dispatcher.reemit_unfinished import Reemission
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.start_task import StartTask
from services.dispatcher.stragglers import Patience
from services.dispatcher.write_reduce_input import WriteReduceInput
from taskandgo.broker import topology
from taskandgo.broker.broker import Broker
from taskandgo.broker.connect import open_broker
from taskandgo.broker.handling import decoded
from taskandgo.broker.topology import listener
from taskandgo.clock import Clock, SystemClock
from taskandgo.errors import StoreAwayError
from taskandgo.lifecycle import until_stopped
from taskandgo.messages import ChunkFinished, ChunkStarted, RunnerHeartbeat, TaskCancelled, TaskSubmitted
from taskandgo.rpc.http_server import serve_http
from taskandgo.rpc.ops_routes import ops_routes
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from taskandgo.telemetry.logs import configure_logs
from taskandgo.telemetry.process_metrics import watching_process
from taskandgo.words import TimerKind

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DispatcherService:
    """A running dispatcher; `http_address` is empty when it serves no HTTP."""

    http_address: str


@dataclass(frozen=True, slots=True)
class Parts:
    """What a dispatcher is made of."""

    metrics: DispatcherMetrics
    pools: Pools
    timers: FireTimers
    on_task_submitted: OnTaskSubmitted
    on_chunk_finished: OnChunkFinished
    reemission: Reemission
    claims: Claims
    reconcile: ReconcileTasks


def make_parts(settings: DispatcherSettings, broker: Broker, store: Store, clock: Clock) -> Parts:
    """Put the parts together."""
    metrics = DispatcherMetrics()
    pools, claims, timers = Pools(clock), Claims(clock), FireTimers(store, clock)
    patience = Patience(settings.dispatcher_straggler_factor, settings.dispatcher_straggler_least_seconds)
    most = settings.dispatcher_max_lost, settings.dispatcher_max_lost_unstarted
    progress = Progress(pools.window, *most, patience)
    emit = _emit_chunks(settings, broker, store, metrics, clock)
    open_task = OpenTask(store, emit, progress, pools, clock)
    timers.on(TimerKind.START, StartTask(store, open_task))
    timers.on(TimerKind.EXPIRE, ExpireTask(broker, store, clock))
    timers.on(TimerKind.RETRY, EmitRetry(store, emit, clock))
    timers.on(TimerKind.DUPLICATE, DuplicateStragglers(store, emit, progress, metrics, clock))
    on_task_submitted = OnTaskSubmitted(open_task, timers, clock)
    returning = settings.dispatcher_return_seconds
    on_chunk_finished = OnChunkFinished(broker, store, emit, progress, timers, metrics, clock, claims, returning)
    reemission = Reemission(store, emit, on_task_submitted, on_chunk_finished, clock)
    grace = timedelta(seconds=settings.dispatcher_stranded_seconds)
    reconcile = ReconcileTasks(broker, store, emit, open_task, on_chunk_finished, claims, metrics, clock, grace)
    return Parts(metrics, pools, timers, on_task_submitted, on_chunk_finished, reemission, claims, reconcile)


def _emit_chunks(
    settings: DispatcherSettings, broker: Broker, store: Store, metrics: DispatcherMetrics, clock: Clock
) -> EmitChunks:
    url, secret = settings.dispatcher_blob_url.rstrip("/"), settings.blob_secret
    blobs = HandOutBlobs(store.blobs, clock, url, secret, settings.dispatcher_blob_token_seconds)
    return EmitChunks(
        broker=broker,
        store=store,
        recent=RecentTasks(store),
        metrics=metrics,
        clock=clock,
        blobs=blobs,
        write_reduce_input=WriteReduceInput(store, clock),
        most_memory_bytes=settings.dispatcher_most_memory_bytes,
        most_reduce_bytes=settings.dispatcher_most_reduce_bytes,
    )


@asynccontextmanager
async def serve(settings: DispatcherSettings, broker: Broker, store: Store) -> AsyncIterator[DispatcherService]:
    """Run a dispatcher; leaving the context finishes the messages under way."""
    parts = make_parts(settings, broker, store, SystemClock())
    heartbeats = listener(f"dispatcher.runner-heartbeat.{uuid4().hex}", "runner.heartbeat")
    consumers = (
        (heartbeats, decoded(OnRunnerHeartbeat(parts.pools, parts.claims), RunnerHeartbeat)),
        (topology.DISPATCHER_CHUNK_FINISHED, decoded(parts.on_chunk_finished, ChunkFinished)),
        (topology.DISPATCHER_CHUNK_STARTED, decoded(OnChunkStarted(broker, store), ChunkStarted)),
        (topology.DISPATCHER_TASK_CANCELLED, decoded(OnTaskCancelled(broker, store), TaskCancelled)),
        (topology.DISPATCHER_TASK_SUBMITTED, decoded(parts.on_task_submitted, TaskSubmitted)),
    )
    async with AsyncExitStack() as stack:
        if not broker.durable:
            await parts.reemission.run()
        for queue, handler in consumers:
            # A queue of this process's own has a name of its own, which would be a label's value.
            name = queue.name if queue != heartbeats else "dispatcher.runner-heartbeat"
            timed = parts.metrics.timed(name, handler)
            subscription = await broker.consume(queue, timed, prefetch=settings.dispatcher_prefetch)
            stack.push_async_callback(subscription.stop)
        await stack.enter_async_context(parts.timers.running())
        await stack.enter_async_context(parts.reconcile.running())
        yield DispatcherService(await _serve_ops(stack, settings, broker, store, parts.metrics))


async def _serve_ops(
    stack: AsyncExitStack, settings: DispatcherSettings, broker: Broker, store: Store, metrics: DispatcherMetrics
) -> str:
    if not settings.dispatcher_http_listen:
        return ""

    async def ready() -> dict[str, bool]:
        return {"broker": broker.connected, "store": await _answers(store)}

    app = Starlette(routes=ops_routes("dispatcher", ready, metrics.registry))
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
        watching_process("dispatcher"),
        open_store(settings.store_url, settings.store_timeout_seconds) as store,
        open_broker(settings) as broker,
        serve(settings, broker, store) as service,
    ):
        log.info("dispatcher.started", http=service.http_address)
        await until_stopped()
        log.info("dispatcher.draining")
