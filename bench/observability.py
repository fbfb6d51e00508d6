"""`python -m bench.observability`: what it costs to be seen: the same stack with tracing and metrics off and on.

Promises: the stacks run side by side on one RabbitMQ and one PostgreSQL and take turns, so that each has the same
machine; a stack that is on exports its spans over OTLP to a real receiver, and every service is scraped.
"""

import json as json_text
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import grpc
import httpx
import typer
from rich.console import Console
from rich.table import Table

from bench.cpu import cpu_seconds
from bench.measure import percentile
from bench.stack import TaskAndGoSystem
from tests.e2e.stack import Stack, free_port, running
from tests.servers.postgres import fresh_database, private_postgres
from tests.servers.rabbitmq import fresh_vhost, private_rabbitmq

SCRAPE_SECONDS = 5.0
SLOTS = 2
TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
#: What a stack is told besides the receiver's address; None: nothing is on.
VARIANTS: dict[str, dict[str, str] | None] = {
    "off": None,
    "on": {},
    "on, and every task traced": {"OTEL_TRACES_SAMPLER": "parentbased_always_on"},
}

Tasks = Annotated[int, typer.Option(min=10, help="Tasks in a burst.")]
Singles = Annotated[int, typer.Option(min=2, help="Tasks run one at a time in a round.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds, in each of which every stack has its turn.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]


@dataclass(slots=True)
class Costs:
    """What was measured of one stack: tasks per second and CPU seconds per task of each burst, seconds of singles."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Measured:
    """A running stack and its client."""

    stack: Stack
    system: TaskAndGoSystem


def main(*, tasks: Tasks = 1500, singles: Singles = 50, rounds: Rounds = 5, json: Json = False) -> None:
    """Measure the same stack with tracing and metrics off and on."""
    tell = Console(stderr=True).print
    with ExitStack() as started:
        stacks = _start(started)
        costs = measure(stacks, tasks, singles, rounds, tell)
    figures = {name: _figures(one, costs["off"]) for name, one in costs.items()}
    if json:
        typer.echo(json_text.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], "stacks": figures}, indent=2))
    else:
        _show(figures, f"{rounds} rounds of {singles} single tasks and a burst of {tasks}")


def measure(
    stacks: dict[str, Measured], tasks: int, singles: int, rounds: int, tell: Callable[[str], None]
) -> dict[str, Costs]:
    """The costs of each stack; the turns of a round go forwards and backwards, so that no one is always first."""
    costs = {name: Costs() for name in stacks}
    for measured in stacks.values():
        measured.system.run_burst(tasks)
    for number in range(rounds):
        order = list(stacks) if number % 2 == 0 else list(reversed(stacks))
        for name in order:
            tell(f"round {number + 1} of {rounds}: {name}")
            _measure_turn(stacks[name], costs[name], tasks, singles)
    return costs


def _measure_turn(measured: Measured, costs: Costs, tasks: int, singles: int) -> None:
    for _ in range(singles):
        started = time.perf_counter()
        measured.system.run_one()
        costs.seconds.append(time.perf_counter() - started)
    started, cpu_before = time.perf_counter(), cpu_seconds(measured.stack)
    measured.system.run_burst(tasks)
    costs.rates.append(tasks / (time.perf_counter() - started))
    costs.cpu.append((cpu_seconds(measured.stack) - cpu_before) / tasks)


def _start(started: ExitStack) -> dict[str, Measured]:
    folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="taskandgo-bench-")))
    rabbitmq, postgres = started.enter_context(private_rabbitmq()), started.enter_context(private_postgres())
    receiver = started.enter_context(_receiver())
    stacks = {}
    for number, (name, asked) in enumerate(VARIANTS.items()):
        own = folder / str(number)
        own.mkdir()
        pages = {} if asked is None else _pages()
        env = {
            "BROKER_URL": fresh_vhost(rabbitmq),
            "STORE_URL": fresh_database(postgres),
            "LOG_LEVEL": "warning",
            "RUNNER_SLOTS": str(SLOTS),
            "RUNNER_NAME": f"bench-{number}",
            **pages,
            **({} if asked is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver, **asked}),
        }
        stack = started.enter_context(running("services", own, env))
        if pages:
            addresses = [stack.http_address, stack.metrics_address, *pages.values()]
            started.enter_context(_scraping([f"http://{address}/metrics" for address in addresses]))
        stacks[name] = Measured(stack, TaskAndGoSystem(started.enter_context(stack.client())))
    return stacks


def _pages() -> dict[str, str]:
    return {name: f"127.0.0.1:{free_port()}" for name in ("DISPATCHER_HTTP_LISTEN", "RUNNER_HTTP_LISTEN")}


@contextmanager
def _receiver() -> Iterator[str]:
    """An OTLP receiver that takes everything and reads nothing: its own work is not what is measured."""
    take = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(TRACE_SERVICE, {"Export": take}),))
    address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None)


@contextmanager
def _scraping(pages: list[str]) -> Iterator[None]:
    """Every page is read now and then, as Prometheus does."""
    stopped = threading.Event()

    def scrape() -> None:
        with httpx.Client(trust_env=False) as client:
            while not stopped.wait(SCRAPE_SECONDS):
                for page in pages:
                    client.get(page, headers={"accept": "application/openmetrics-text"})

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _figures(costs: Costs, off: Costs) -> dict[str, float]:
    rate, cpu = statistics.median(costs.rates), statistics.median(costs.cpu)
    return {
        "tasks_per_second": rate,
        "throughput_lost_percent": _lost(costs.rates, off.rates),
        "cpu_ms_per_task": cpu * 1000,
        "cpu_added_percent": 100 * (cpu / statistics.median(off.cpu) - 1),
        "p50_ms": percentile(costs.seconds, 50),
    }


def _lost(rates: list[float], off: list[float]) -> float:
    """The median over the rounds: two turns of one round had about the same machine."""
    return 100 * statistics.median(1 - rate / without for rate, without in zip(rates, off, strict=True))


def _show(figures: dict[str, dict[str, float]], how: str) -> None:
    caption = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {how}"
    table = Table(title="Hello, world, with tracing and metrics", caption=caption)
    for heading in ("", "tasks/s", "fewer", "CPU ms a task", "more", "p50 ms"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, one in figures.items():
        table.add_row(
            name,
            f"{one['tasks_per_second']:.0f}",
            f"{one['throughput_lost_percent']:.1f} %",
            f"{one['cpu_ms_per_task']:.2f}",
            f"{one['cpu_added_percent']:.1f} %",
            f"{one['p50_ms']:.1f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
