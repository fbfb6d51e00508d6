"""Wires ingest: settings, broker and store in; the gRPC service, its HTTP form and the outbox's sweep running."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette

from services.ingest.admission import Admission
from services.ingest.announce_task import Announcer
from services.ingest.blob_api import blob_routes
from services.ingest.calls import Calls, Shared, make_calls
from services.ingest.event_rates import EventRates
from services.ingest.explain_task import ExplainTask
from services.ingest.http_api import api_routes
from services.ingest.metrics import IngestMetrics
from services.ingest.on_runner_heartbeat import OnRunnerHeartbeat
from services.ingest.read_open_tasks import ReadOpenTasks
from services.ingest.serve_blobs import serve_blobs
from services.ingest.servicer import SchedulerServicer
from services.ingest.settings import IngestSettings
from services.ingest.submit_task import SubmitTask
from services.ingest.sweep_store import SweepStore
from services.ingest.task_rules import TaskRules
from services.ingest.watch_cluster import WatchCluster
from taskandgo.api.scheduler_pb2_grpc import add_SchedulerServicer_to_server
from taskandgo.broker.broker import Broker
from taskandgo.broker.handling import decoded
from taskandgo.broker.late import open_broker_late
from taskandgo.broker.topology import listener
from taskandgo.clock import Clock, SystemClock
from taskandgo.errors import StoreAwayError
from taskandgo.explain_task import ExplainTask as ExplainKnownTask
from taskandgo.heard_runners import HeardRunners
from taskandgo.lifecycle import until_stopped
from taskandgo.messages import RunnerHeartbeat
from taskandgo.rpc.grpc_server import serve_grpc
from taskandgo.rpc.http_server import serve_http
from taskandgo.rpc.ops_routes import ops_routes
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.store import Store
from taskandgo.telemetry.logs import configure_logs
from taskandgo.telemetry.process_metrics import watching_process
from taskandgo.watchers import Watchers

SERVICE = "scheduler.Scheduler"
GRACE_SECONDS = 5.0
WATCHED_AT_ONCE = 1000
HEARD_AT_ONCE = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IngestService:
    """A running ingest, with the addresses it really listens on."""

    grpc_address: str
    http_address: str


@asynccontextmanager
async def serve(settings: IngestSettings, broker: Broker, store: Store) -> AsyncIterator[IngestService]:
    """Run an ingest; leaving the context lets the calls under way end."""
    clock, metrics = SystemClock(), IngestMetrics()
    announcer, watchers = Announcer(broker, store, clock, metrics), Watchers()
    admission = Admission(store, settings.ingest_max_queued, settings.ingest_max_queued_per_tenant)
    submit_task = SubmitTask(_rules(settings), admission, store, announcer, clock, metrics)
    runners = HeardRunners(clock)
    explain_task = ExplainTask(ExplainKnownTask(store, broker, runners, clock), admission)
    rates, open_tasks = EventRates(), ReadOpenTasks(store, clock)
    watch_cluster = WatchCluster(broker, runners, rates, open_tasks, clock)
    calls = make_calls(submit_task, explain_task, watch_cluster, Shared(store, announcer, watchers, clock))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(announcer.running())
        await stack.enter_async_context(_sweep(settings, store, clock).running())
        watchers.subscription = await broker.consume(watchers.queue, watchers.on_task_event, prefetch=WATCHED_AT_ONCE)
        stack.push_async_callback(watchers.stop)
        await _hear_runners(stack, broker, runners)
        events = listener(f"ingest.event-rates.{uuid.uuid4().hex}")
        rates.subscription = await broker.consume(events, rates.on_event, prefetch=WATCHED_AT_ONCE)
        stack.push_async_callback(rates.subscription.stop)
        http_address = await _serve_http(stack, settings, calls, metrics, store)
        grpc_address = await stack.enter_async_context(
            serve_grpc(
                lambda server: add_SchedulerServicer_to_server(SchedulerServicer(calls, metrics), server),
                SERVICE,
                settings.ingest_grpc_listen,
                GRACE_SECONDS,
            )
        )
        # Comes last and so ends first: whoever watches everything would hold up the end of the other calls.
        await stack.enter_async_context(watch_cluster.running())
        yield IngestService(grpc_address, http_address)


async def _hear_runners(stack: AsyncExitStack, broker: Broker, runners: HeardRunners) -> None:
    queue = listener(f"ingest.runner-heartbeat.{uuid.uuid4().hex}", "runner.heartbeat")
    hearing = await broker.consume(queue, decoded(OnRunnerHeartbeat(runners), RunnerHeartbeat), prefetch=HEARD_AT_ONCE)
    stack.push_async_callback(hearing.stop)


def _sweep(settings: IngestSettings, store: Store, clock: Clock) -> SweepStore:
    return SweepStore(store, clock, settings.ingest_unused_blob_seconds, settings.ingest_keep_finished_seconds)


def _rules(settings: IngestSettings) -> TaskRules:
    return TaskRules(
        settings.scheduler_strategy,
        settings.ingest_max_data_bytes,
        settings.ingest_max_timeout_seconds,
        settings.ingest_max_chunks,
        settings.ingest_max_blob_bytes if settings.blob_secret else 0,
    )


async def _serve_http(
    stack: AsyncExitStack, settings: IngestSettings, calls: Calls, metrics: IngestMetrics, store: Store
) -> str:
    async def ready() -> dict[str, bool]:
        # Without the broker tasks are still accepted, so that does not make ingest unready.
        return {"store": await _answers(store)}

    app = Starlette(
        routes=[
            *blob_routes(calls, metrics),
            *api_routes(calls, metrics),
            *ops_routes("ingest", ready, metrics.registry),
        ]
    )
    return await stack.enter_async_context(serve_http(app, settings.ingest_http_listen))


async def _answers(store: Store) -> bool:
    try:
        await store.ping()
    except StoreAwayError:
        return False
    return True


async def main() -> None:
    """Run an ingest as a process of its own until it is told to stop."""
    settings = load(IngestSettings)
    configure_logs(settings, "ingest")
    async with (
        watching_process("ingest"),
        open_store(settings.store_url, settings.store_timeout_seconds) as store,
        open_broker_late(settings) as broker,
        serve_blobs(settings, store),
        serve(settings, broker, store) as service,
    ):
        log.info("ingest.started", grpc=service.grpc_address, http=service.http_address)
        await until_stopped()
        log.info("ingest.draining")
