"""`python -m bench.monitor`: does the monitor keep up with every event, and is its memory flat over very many of them?

Events of tasks that never were go straight into the monitor's queues, as fast as it takes them; it is a process of its
own over a real RabbitMQ and a real PostgreSQL. What it costs is told in its own processor time, so that who else uses
the machine does not matter: its capacity is what one processor would get through.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import aio_pika
import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from taskandgo.broker.topology import MONITOR_CHUNK_FINISHED, MONITOR_CHUNK_STARTED, MONITOR_TASK_FINISHED, Queue
from taskandgo.messages import ChunkFinished, ChunkStarted, Message, TaskFinished, encode
from taskandgo.task import AttemptResult, Usage
from taskandgo.words import Outcome, Priority, Strategy, TaskState
from tests.e2e.stack import Stack, free_port
from tests.servers.postgres import private_postgres
from tests.servers.rabbitmq import private_rabbitmq

MIB = 1024 * 1024
#: How many events the monitor may be behind before its publisher waits for it.
MOST_BEHIND = 20_000
STEPS = 10
#: What is warm after the first step may grow by so much until the last, and count as flat.
FLAT_BYTES = 8 * MIB
COUNTERS = ("taskandgo_tasks_finished_total", "taskandgo_chunks_started_total", "taskandgo_chunks_finished_total")

Events = Annotated[int, typer.Option(min=30_000, help="How many events.")]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the monitor says of itself: events counted, resident memory, and processor time used."""

    events: int
    resident_bytes: float
    cpu_seconds: float


def main(events: Events = 1_000_000) -> None:
    """Measure the monitor; exit code 1 if its memory is not flat."""
    with private_rabbitmq() as rabbitmq, private_postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        seen = asyncio.run(_measure(events, rabbitmq, postgres, Path(folder)))
        _show(seen, time.perf_counter() - started)
    if seen[-1].resident_bytes - seen[1].resident_bytes > FLAT_BYTES:
        raise typer.Exit(1)


async def _measure(events: int, rabbitmq: str, postgres: str, folder: Path) -> list[Seen]:
    address = f"127.0.0.1:{free_port()}"
    env = {"BROKER_URL": rabbitmq, "STORE_URL": postgres, "MONITOR_HTTP_LISTEN": address, "LOG_LEVEL": "warning"}
    stack = Stack("services", folder, env, "", "", address)
    stack.start("monitor")
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}") as monitor, _publishing(rabbitmq) as exchange:
            found = [await _once(monitor, 0)]
            for step in range(1, STEPS + 1):
                await _publish(exchange, monitor, events * (step - 1) // STEPS, events * step // STEPS)
                found.append(await _once(monitor, events * step // STEPS // 3 * 3))
            return found
    finally:
        stack.stop("monitor")


@asynccontextmanager
async def _publishing(rabbitmq: str) -> AsyncIterator[aio_pika.abc.AbstractExchange]:
    async with await aio_pika.connect(rabbitmq) as connection:
        # By the default exchange, since nobody takes what the dispatcher's queues would get.
        yield (await connection.channel(publisher_confirms=False)).default_exchange


async def _publish(exchange: aio_pika.abc.AbstractExchange, monitor: httpx.AsyncClient, first: int, last: int) -> None:
    """Publish the events of the tasks from `first` / 3 up to `last` / 3, never too far ahead of the monitor."""
    for number in range(first // 3, last // 3):
        for queue, message in _events_of(number):
            await exchange.publish(aio_pika.Message(encode(message)), queue.name)
        if number % (MOST_BEHIND // 6) == 0:
            await _once(monitor, number * 3 - MOST_BEHIND)


def _events_of(number: int) -> Iterator[tuple[Queue, Message]]:
    task_id, priority, language = f"task-{number}", Priority(number % 4), ("python", "go", "bash")[number % 3]
    now = datetime.now(UTC)
    succeeded = number % 10 > 0
    outcome = Outcome.SUCCEEDED if succeeded else Outcome.FAILED
    yield (
        MONITOR_CHUNK_STARTED,
        ChunkStarted(
            task_id=task_id,
            chunk_index=0,
            attempt=1,
            runner="bench",
            started_at=now,
            priority=priority,
            language=language,
        ),
    )
    yield (
        MONITOR_CHUNK_FINISHED,
        ChunkFinished(
            task_id=task_id,
            chunk_index=0,
            attempt=1,
            runner="bench",
            started_at=now,
            finished_at=now,
            result=AttemptResult(outcome=outcome, stdout=b"hello\n", usage=Usage(wall_seconds=0.01)),
            language=language,
        ),
    )
    yield (
        MONITOR_TASK_FINISHED,
        TaskFinished(
            task_id=task_id,
            state=TaskState.SUCCEEDED if succeeded else TaskState.FAILED,
            outcome=outcome,
            priority=priority,
            language=language,
            strategy=Strategy.BATCH,
            queued_at=now - timedelta(seconds=1),
            started_at=now,
            finished_at=now,
        ),
    )


async def _once(monitor: httpx.AsyncClient, events: int) -> Seen:
    """What the monitor says as soon as it answers, and has counted so many events."""
    while True:
        try:
            seen = _read((await monitor.get("/metrics", timeout=30)).text)
        except httpx.TransportError:
            await asyncio.sleep(0.2)
            continue
        if seen.events >= events:
            return seen
        await asyncio.sleep(0.2)


def _read(text: str) -> Seen:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {sample.name: sample.value for sample in samples if not sample.labels}
    counted = sum(sample.value for sample in samples if sample.name in COUNTERS)
    return Seen(int(counted), values["process_resident_memory_bytes"], values["process_cpu_seconds_total"])


def _show(seen: list[Seen], seconds: float) -> None:
    cpu = seen[-1].cpu_seconds - seen[0].cpu_seconds
    capacity, rate = seen[-1].events / cpu, seen[-1].events / seconds
    caption = f"{os.cpu_count()} cores; {rate:,.0f} events/s; one processor would do {capacity:,.0f} events/s"
    table = Table(title="The monitor", caption=caption)
    for heading in ("events", "memory MiB", "processor us an event"):
        table.add_column(heading, justify="right")
    for before, one in zip([seen[0], *seen], seen, strict=False):
        new = one.events - before.events
        cost = f"{(one.cpu_seconds - before.cpu_seconds) / new * 1e6:.0f}" if new else ""
        table.add_row(f"{one.events:,}", f"{one.resident_bytes / MIB:.1f}", cost)
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)
