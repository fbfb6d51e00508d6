"""`python -m bench.observability`: what it costs to be seen: the same stack with tracing and metrics off and on.

Machines are faster in one second than in the next. So the stacks take many short turns, in every order, and what is
told is how the turns of one round compare: the median of all rounds, and the quartiles around it.
Promises: each stack is measured in its steady state: warm, with its languages prepared, and with no trace left of
those that the sampler grants at once. A turn has all that it costs in it: its metrics are read once, which is more
often than every five seconds, and its CPU time is taken when its last spans have left.
"""

import itertools
import json as json_text
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.table import Table

from bench.cpu import cpu_seconds
from bench.measure import percentile
from bench.observed_stacks import EXPORT_SECONDS, PARTS, VARIANTS, Observed, observed_stacks
from taskandgo.api import scheduler_pb2 as api
from taskandgo.telemetry.rate_sampler import AT_ONCE

#: Clients that each run one task after another: enough that slots and processors never wait for them.
CLIENTS = 8
WARM_UP = 200
SINGLES = 10
#: For the last spans to leave.
REST_SECONDS = EXPORT_SECONDS + 0.2

Tasks = Annotated[int, typer.Option(min=10, help="Tasks of a turn.")]
Rounds = Annotated[int, typer.Option(min=2, help="Rounds, in each of which every stack has its turn.")]
Parts = Annotated[bool, typer.Option("--parts", help="Also measure parts of what it costs, each alone.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]


@dataclass(slots=True)
class Costs:
    """What was measured of one stack: tasks per second and CPU seconds a task of each turn, seconds of single tasks."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def main(*, tasks: Tasks = 180, rounds: Rounds = 30, parts: Parts = False, json: Json = False) -> None:
    """Measure the same stack with tracing and metrics off and on."""
    with observed_stacks(VARIANTS | PARTS if parts else VARIANTS) as stacks:
        costs = measure(stacks, tasks, rounds, Console(stderr=True).print)
    figures = {name: _figures(one, costs["off"]) for name, one in costs.items()}
    if json:
        typer.echo(json_text.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], "stacks": figures}, indent=2))
    else:
        _show(figures, f"{rounds} rounds of {tasks} tasks by {CLIENTS} clients, and {SINGLES} tasks alone")


def measure(stacks: Mapping[str, Observed], tasks: int, rounds: int, tell: Callable[[str], None]) -> dict[str, Costs]:
    """The costs of each stack; every round has another order, so that no one always comes after the same."""
    costs = {name: Costs() for name in stacks}
    for name, one in stacks.items():
        tell(f"warming up: {name}")
        one.prepare()
        _run(one, WARM_UP)
    orders = itertools.cycle(itertools.permutations(stacks))
    for number, order in zip(range(rounds), orders, strict=False):
        tell(f"round {number + 1} of {rounds}")
        for name in order:
            _measure_turn(stacks[name], costs[name], tasks)
    return costs


def _measure_turn(one: Observed, costs: Costs, tasks: int) -> None:
    _spend_saved_traces(one)
    for _ in range(SINGLES):
        started = time.perf_counter()
        one.system.run_one()
        costs.seconds.append(time.perf_counter() - started)
    cpu_before, started = cpu_seconds(one.stack), time.perf_counter()
    _run(one, tasks)
    costs.rates.append(tasks / (time.perf_counter() - started))
    time.sleep(REST_SECONDS)
    costs.cpu.append((cpu_seconds(one.stack) - cpu_before) / tasks)


def _spend_saved_traces(one: Observed) -> None:
    """Have the sampler grant what it saved up while others had their turns: to calls that lead to nothing else."""
    for _ in range(AT_ONCE):
        with suppress(grpc.RpcError):
            one.scheduler.CancelTask(api.CancelTaskRequest(task_id="none"))


def _run(one: Observed, tasks: int) -> None:
    with ThreadPoolExecutor(CLIENTS) as clients:
        done = [clients.submit(one.scrape), *(clients.submit(one.system.run_one) for _ in range(tasks))]
    for each in done:
        each.result()


def _figures(costs: Costs, off: Costs) -> dict[str, float | Sequence[float]]:
    lost = [100 * (1 - rate / without) for rate, without in zip(costs.rates, off.rates, strict=True)]
    added = [100 * (cpu / without - 1) for cpu, without in zip(costs.cpu, off.cpu, strict=True)]
    return {
        "tasks_per_second": statistics.median(costs.rates),
        "throughput_lost_percent": statistics.quantiles(lost, n=4, method="inclusive"),
        "cpu_ms_per_task": statistics.median(costs.cpu) * 1000,
        "cpu_added_percent": statistics.quantiles(added, n=4, method="inclusive"),
        "p50_ms": percentile(costs.seconds, 50),
    }


def _show(figures: Mapping[str, Mapping[str, float | Sequence[float]]], how: str) -> None:
    caption = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {how}; median, and quartiles of the rounds"
    table = Table(title="Hello, world, with tracing and metrics", caption=caption)
    for heading in ("", "tasks/s", "fewer, in %", "CPU ms a task", "more, in %", "p50 ms"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, one in figures.items():
        table.add_row(name, *(_figure(value, "5.2f" if "cpu" in key else "5.1f") for key, value in one.items()))
    Console(width=110).print(table)


def _figure(value: float | Sequence[float], form: str) -> str:
    if isinstance(value, float):
        return f"{value:{form}}"
    low, middle, high = (f"{one:.1f}" for one in value)
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
