"""Shows what was measured: one table for people, or JSON."""

import json
import os
import statistics
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from bench.measure import Plan, Times, percentile
from bench.submits import Accepted

WIDTH = 110


def as_json(times: Mapping[str, Times], submits: Mapping[str, Accepted], plan: Plan) -> str:
    """Everything a program needs, single times included."""
    return json.dumps(
        {
            "cores": os.cpu_count(),
            "plan": {"tasks": plan.tasks, "singles": plan.singles, "rounds": plan.rounds},
            "systems": {name: _numbers(taken) | {"seconds": taken.seconds} for name, taken in times.items()},
            "submits": {name: {"seconds": taken.seconds, "rates": taken.rates} for name, taken in submits.items()},
        },
        indent=2,
    )


def show(times: Mapping[str, Times], plan: Plan, first: str) -> None:
    """Print the table; each ratio is the system `first` divided by the row."""
    caption = f"{os.cpu_count()} cores; {plan.rounds} interleaved rounds of {plan.singles} single tasks and a burst"
    table = Table(title="Hello, world in a sandbox", caption=f"{caption} of {plan.tasks}")
    for heading in ("", "p50 ms", "p95 ms", "tasks/s", f"{first}: p50", f"{first}: tasks/s"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, taken in times.items():
        table.add_row(name, *_row(taken, times.get(first)))
    # Piped into a file or a log, the table still needs its width.
    Console(width=max(WIDTH, Console().width)).print(table)


def show_submits(submits: Mapping[str, Accepted], rounds: int) -> None:
    """Print how fast tasks are accepted."""
    table = Table(title="Tasks accepted, durable", caption=f"{os.cpu_count()} cores; median of {rounds} rounds")
    for heading in ("", "p50 ms a call", "p95 ms a call", "tasks/s"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, taken in submits.items():
        p50, p95 = percentile(taken.seconds, 50), percentile(taken.seconds, 95)
        table.add_row(name, f"{p50:.1f}", f"{p95:.1f}", f"{statistics.median(taken.rates):.0f}")
    Console(width=max(WIDTH, Console().width)).print(table)


def _numbers(taken: Times) -> dict[str, object]:
    return {
        "p50_ms": round(taken.percentile(50), 3),
        "p95_ms": round(taken.percentile(95), 3),
        "tasks_per_second": taken.rate and round(taken.rate, 1),
        "bursts": [round(rate, 1) for rate in taken.rates],
    }


def _row(taken: Times, first: Times | None) -> list[str]:
    p50, rate = taken.percentile(50), taken.rate
    longer = f"{first.percentile(50) / p50:.2f} x the time" if first and first is not taken else ""
    more = f"{first.rate / rate:.2f} x as many" if first and first.rate and rate and first is not taken else ""
    return [f"{p50:.1f}", f"{taken.percentile(95):.1f}", f"{rate:.1f}" if rate else "", longer, more]
