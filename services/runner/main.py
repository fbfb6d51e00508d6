"""Wires the runner: settings and broker in; a proved box, its pool's queue and heartbeats running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette

from services.runner.carry_blobs import CarryBlobs, open_client
from services.runner.execute_chunk import ExecuteChunk
from services.runner.languages.language import Language, MissingToolError
from services.runner.languages.languages import make_languages
from services.runner.limits import granted
from services.runner.metrics import RunnerMetrics
from services.runner.on_chunk_cancelled import OnChunkCancelled
from services.runner.on_chunk_ready import OnChunkReady
from services.runner.on_task_cancelled import OnTaskCancelled
from services.runner.raise_deletion_cost import raising_deletion_cost
from services.runner.running_chunks import RunningChunks
from services.runner.sandbox.sandbox import Sandbox, SandboxPlan, open_sandbox
from services.runner.send_heartbeats import SendHeartbeats
from services.runner.settings import RunnerSettings
from taskandgo.broker.broker import Broker, Subscription
from taskandgo.broker.connect import open_broker
from taskandgo.broker.handling import decoded
from taskandgo.broker.topology import listener, runner_chunk_ready
from taskandgo.clock import SystemClock
from taskandgo.lifecycle import until_stopped
from taskandgo.messages import ChunkCancelled, ChunkReady, TaskCancelled
from taskandgo.rpc.http_server import serve_http
from taskandgo.rpc.ops_routes import ops_routes
from taskandgo.settings import load
from taskandgo.task import Limits
from taskandgo.telemetry.logs import configure_logs
from taskandgo.telemetry.process_metrics import watching_process

#: How long killing what runs and telling the dispatcher may take.
HAND_BACK_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunnerService:
    """A running runner; `http_address` is empty when it serves no HTTP."""

    http_address: str


@asynccontextmanager
async def serve(settings: RunnerSettings, broker: Broker) -> AsyncIterator[RunnerService]:
    """Run a runner; leaving the context lets running chunks finish, and hands back the rest."""
    metrics = RunnerMetrics()
    async with open_sandbox(sandbox_plan(settings), metrics.sandbox_events) as box:
        log.info("sandbox.ready", isolation=box.isolation, steps=box.steps, metering=box.metering_explained)
        metrics.show_sandbox(box)
        async with _serve_in(settings, broker, box, metrics) as service:
            yield service


@asynccontextmanager
async def _serve_in(
    settings: RunnerSettings, broker: Broker, box: Sandbox, metrics: RunnerMetrics
) -> AsyncIterator[RunnerService]:
    languages, running, clock = make_languages(settings, box, metrics.looked_up), RunningChunks(), SystemClock()
    heartbeats = SendHeartbeats(broker, settings, running, sorted(languages), box, clock)
    async with AsyncExitStack() as stack:
        blobs = CarryBlobs(await stack.enter_async_context(open_client()), settings.runner_blob_patience_seconds)
        on_chunk_ready = OnChunkReady(
            broker,
            ExecuteChunk(box, languages, settings, blobs),
            running,
            asyncio.Semaphore(settings.runner_slots),
            settings.runner_name,
            clock,
            metrics,
        )
        for background in (heartbeats.for_ever(), _prepare(languages, heartbeats)):
            stack.push_async_callback(_stop, asyncio.get_running_loop().create_task(background))
        await stack.enter_async_context(raising_deletion_cost(settings.runner_pod, running))
        address = await _serve_ops(stack, settings, broker, metrics)
        for kind, handler in (
            ("task", decoded(OnTaskCancelled(running), TaskCancelled)),
            ("chunk", decoded(OnChunkCancelled(running), ChunkCancelled)),
        ):
            cancelled = listener(f"runner.{kind}-cancelled.{settings.runner_name}", f"{kind}.cancelled")
            told = await broker.consume(cancelled, handler, prefetch=100)
            stack.push_async_callback(told.stop)
        queue = runner_chunk_ready(settings.runner_pool)
        taking = await broker.consume(queue, decoded(on_chunk_ready, ChunkReady), prefetch=settings.runner_slots)
        stack.push_async_callback(_drain, taking, heartbeats, settings.runner_drain_seconds)
        yield RunnerService(address)


def sandbox_plan(settings: RunnerSettings) -> SandboxPlan:
    """What boxes a runner with these settings makes."""
    return SandboxPlan(
        level=settings.runner_isolation,
        uid=settings.runner_sandbox_uid,
        interpreter=settings.runner_python,
        preload=tuple(filter(None, settings.runner_python_preload.split(","))),
        slots=settings.runner_slots,
        limits=granted(Limits(), settings),
        runner=settings.runner_name,
    )


async def _prepare(languages: dict[str, Language], heartbeats: SendHeartbeats) -> None:
    for name, language in languages.items():
        try:
            await language.prepare()
            log.info("language.prepared", language=name)
        except MissingToolError as error:
            log.warning("language.missing", language=name, error=str(error))
            heartbeats.languages.remove(name)
            await heartbeats.once()


async def _drain(taking: Subscription, heartbeats: SendHeartbeats, seconds: float) -> None:
    heartbeats.draining = True
    await heartbeats.once()
    draining = asyncio.get_running_loop().create_task(taking.stop())
    if not await _ends(draining, seconds):
        log.warning("runner.handed_back", chunks=len(heartbeats.running))
        heartbeats.running.hand_back()
        if not await _ends(draining, HAND_BACK_SECONDS):
            # What could not be said to anyone the broker finds out by itself.
            draining.cancel()
            await taking.abandon()


async def _ends(task: asyncio.Task[None], seconds: float) -> bool:
    return bool((await asyncio.wait([task], timeout=seconds))[0])


async def _stop(background: asyncio.Task[None]) -> None:
    background.cancel()
    await asyncio.gather(background, return_exceptions=True)


async def _serve_ops(stack: AsyncExitStack, settings: RunnerSettings, broker: Broker, metrics: RunnerMetrics) -> str:
    if not settings.runner_http_listen:
        return ""

    async def ready() -> dict[str, bool]:
        return {"broker": broker.connected}

    app = Starlette(routes=ops_routes("runner", ready, metrics.registry))
    return await stack.enter_async_context(serve_http(app, settings.runner_http_listen))


async def main() -> None:
    """Run a runner as a process of its own until it is told to stop."""
    settings = load(RunnerSettings)
    configure_logs(settings, "runner")
    async with watching_process("runner"), open_broker(settings) as broker, serve(settings, broker):
        log.info("runner.started", runner=settings.runner_name, pool=settings.runner_pool, slots=settings.runner_slots)
        await until_stopped()
        log.info("runner.draining")
