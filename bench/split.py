"""`python -m bench.split`: split tasks at their full size, over RabbitMQ and PostgreSQL with two of each worker.

Measures a task of which chunks fail and one hangs, how long others wait beside a task of very many chunks, how
much memory the services gain meanwhile, and how much faster two slots are than one. The tests run the same
scenarios smaller.
"""

import json as json_text
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.crowded_split import many_chunks, measure_waits
from bench.memory import resident_bytes
from bench.parallel_split import POOLS, measure_speedup
from bench.uneven_split import run_uneven
from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, running
from tests.servers.postgres import private_postgres
from tests.servers.rabbitmq import private_rabbitmq

WORKERS = ("dispatcher-1", "dispatcher-2", "monitor", "runner-1", "runner-2")
SLOTS = 4
MIB = 1024 * 1024
#: How many turns of its loop a chunk of the CPU-bound task makes: about a second.
WORK = 10_000_000

Figure = float | str | dict[str, float]
Figures = dict[str, Figure]

Chunks = Annotated[int, typer.Option(min=100, help="Chunks of the task of which some fail and one hangs.")]
Seconds = Annotated[float, typer.Option(min=0, help="How long each of them takes.")]
Many = Annotated[int, typer.Option(min=100, help="Chunks of the task beside which others wait.")]
ManySeconds = Annotated[float, typer.Option(min=0.01, help="How long each of those takes.")]
Singles = Annotated[int, typer.Option(min=1, help="Tasks that wait beside it.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds on one slot and on two.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]


def main(  # noqa: PLR0913 - Typer makes the options from the parameters
    *,
    chunks: Chunks = 10_000,
    seconds: Seconds = 0.02,
    many: Many = 100_000,
    many_seconds: ManySeconds = 2.0,
    singles: Singles = 100,
    rounds: Rounds = 3,
    json: Json = False,
) -> None:
    """Measure split tasks."""
    tell = Console(stderr=True).print
    with _stack() as (stack, client):
        tell(f"a task of {chunks} chunks, of which some fail once and one hangs")
        figures = {f"{chunks} uneven chunks": measure_uneven(stack, client, chunks, seconds)}
        tell(f"{singles} tasks beside one of {many} chunks")
        figures[f"beside {many} chunks of {many_seconds:g} s"] = measure_crowd(client, many, many_seconds, singles)
        tell("the same work on one slot and on two")
        figures["two slots"] = measure_parallel(stack, client, WORK, rounds)
    if json:
        typer.echo(json_text.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], **figures}, indent=2))
    else:
        _show(figures)


def measure_uneven(stack: Stack, client: api_grpc.SchedulerStub, chunks: int, seconds: float) -> Figures:
    """The task of which chunks fail and one hangs: whether it ended right, in what time, and what memory it left."""
    run_uneven(client, max(100, chunks // 10), seconds)
    before = resident_bytes(stack)
    uneven = run_uneven(client, chunks, seconds)
    grown = {name: (held - before[name]) / MIB for name, held in resident_bytes(stack).items()}
    ideal = uneven.work_seconds / SLOTS
    return {
        "ended": api.TaskState.Name(uneven.final.state),
        "each element once, in order": str(uneven.right),
        "failed once": len(uneven.failed_once),
        "attempt of the hanging chunk that counted": uneven.chunks[uneven.hangs].attempt,
        "seconds": uneven.seconds,
        "ideal seconds (run time / slots)": ideal,
        "ideal / real": ideal / uneven.seconds,
        "chunks a second": chunks / uneven.seconds,
        "MiB gained": grown,
    }


def measure_crowd(client: api_grpc.SchedulerStub, chunks: int, seconds: float, singles: int) -> Figures:
    """The longest waits beside a task of many chunks, in chunk times."""
    with many_chunks(client, chunks, seconds):
        waits = measure_waits(client, singles)
    return {
        f"{singles} normal ones at once, longest": max(waits.at_once) / seconds,
        "normal ones one by one, longest": max(waits.one_by_one) / seconds,
        "high ones, longest": max(waits.high) / seconds,
    }


def measure_parallel(stack: Stack, client: api_grpc.SchedulerStub, work: int, rounds: int) -> Figures:
    """The same task in a pool of one slot and in a pool of two."""
    for pool, slots in POOLS.items():
        stack.start(f"runner-{pool}", RUNNER_POOL=pool, RUNNER_SLOTS=str(slots))
    speedup = measure_speedup(client, work, rounds)
    for pool in POOLS:
        stack.stop(f"runner-{pool}")
    return {
        "times as fast, median of the rounds": speedup.ratio,
        "times as fast, best rounds": speedup.best_ratio,
        "two bare processes in the same rounds, median": statistics.median(speedup.bare),
        "share of the slots' time in which code ran": {pool: speedup.share(pool) for pool in POOLS},
        "what scheduling leaves of twice as fast": speedup.scheduled_ratio,
        "seconds": {pool: min(run.seconds for run in runs) for pool, runs in speedup.runs.items()},
    }


@contextmanager
def _stack() -> Iterator[tuple[Stack, api_grpc.SchedulerStub]]:
    with ExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="taskandgo-bench-")))
        env = {
            "BROKER_URL": started.enter_context(private_rabbitmq()),
            "STORE_URL": started.enter_context(private_postgres()),
            "LOG_LEVEL": "warning",
            "RUNNER_SLOTS": str(SLOTS // 2),
        }
        stack = started.enter_context(running("services", folder, env, ("ingest", *WORKERS)))
        yield stack, started.enter_context(stack.client())


def _show(figures: dict[str, Figures]) -> None:
    caption = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {SLOTS} slots on two runners"
    table = Table(title="Split tasks", caption=caption)
    table.add_column("")
    table.add_column("")
    for name, values in figures.items():
        table.add_row(name, "", style="bold")
        for what, value in values.items():
            table.add_row(f"  {what}", _text(value))
    Console(width=100).print(table)


def _text(value: Figure) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {number:.2f}" for name, number in value.items())
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
