"""A trace outlives whoever began it: what another process publishes again, from the store alone, is in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.dispatcher.main import serve as serve_dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.ingest.announce_task import UNCONFIRMED_AFTER, Announcer
from services.ingest.metrics import IngestMetrics
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.broker.memory import MemoryBroker, open_memory
from taskandgo.broker.topology import DISPATCHER_TASK_SUBMITTED, runner_chunk_ready
from taskandgo.clock import SystemClock
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.store.records import Submission
from taskandgo.store.store import Store
from taskandgo.task import TaskSpec
from taskandgo.telemetry.tracing import tracing
from taskandgo.words import Priority
from tests.messages_heard import Heard
from tests.otlp_receiver import Received, receiving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """Tracing is on in this process."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with tracing("test"):
            yield receiver


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:///{tmp_path}/tasks.db") as opened:
        yield opened


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    async with open_memory() as opened:
        yield opened


def accepted(task_id: str, at: datetime) -> Submission:
    """What an ingest recorded, and did not live to announce."""
    trace = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=7"}
    spec = TaskSpec(
        task_id=task_id, priority=Priority.NORMAL, language="python", code="pass", queued_at=at, trace=trace
    )
    return Submission(task=spec, content_hash=b"any")


async def test_a_task_that_is_announced_again_is_in_the_trace_it_was_accepted_in(
    received: Received, store: Store, broker: MemoryBroker
) -> None:
    heard = Heard()
    await store.accept_task(accepted("announced_again", datetime.now(UTC) - UNCONFIRMED_AFTER - timedelta(seconds=1)))
    await broker.consume(DISPATCHER_TASK_SUBMITTED, heard, prefetch=1)

    async with Announcer(broker, store, SystemClock(), IngestMetrics()).running():
        await heard.first(lambda _: True)

    published, processed = received.wait_for(lambda spans: len(spans) == 2)
    assert published.name == "publish taskandgo:task.submitted"
    assert (published.trace_id, published.parent_id) == (TRACE, SPAN)
    assert (processed.trace_id, processed.parent_id) == (TRACE, published.span_id)


async def test_a_task_that_is_taken_up_again_is_in_the_trace_it_was_accepted_in(
    received: Received, store: Store, broker: MemoryBroker
) -> None:
    deliveries: asyncio.Queue[Delivery] = asyncio.Queue()

    async def take(delivery: Delivery) -> Disposition:
        await deliveries.put(delivery)
        return Ack()

    await store.accept_task(accepted("taken_up_again", datetime.now(UTC)))
    await broker.consume(runner_chunk_ready("default"), take, prefetch=1)

    # Over a broker that forgot it, a dispatcher goes by what the store says.
    async with serve_dispatcher(load(DispatcherSettings, dispatcher_http_listen=""), broker, store):
        delivery = await deliveries.get()

    published, processed = received.wait_for(lambda spans: len(spans) == 2)
    assert published.name == "publish taskandgo:chunk.ready.default"
    assert (published.trace_id, published.parent_id) == (TRACE, SPAN)
    assert (processed.trace_id, processed.parent_id) == (TRACE, published.span_id)
    assert delivery.headers["tracestate"] == "vendor=7"
