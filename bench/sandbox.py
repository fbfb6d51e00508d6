"""Measures the sandbox alone, beside a bare fork and beside bubblewrap, in one run: `python -m bench.sandbox`.

Promises: the same hello-world code everywhere; what is compared takes turns, so that both have the same machine.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from bench.boxed import CODE, PYTHON, run_bare, run_boxed
from bench.go_sources import GoTimes, measure_go
from bench.measure import percentile
from services.runner.limits import granted
from services.runner.sandbox.box import BoxJob
from services.runner.sandbox.sandbox import Sandbox, SandboxPlan, open_sandbox
from services.runner.settings import RunnerSettings
from taskandgo.settings import load
from taskandgo.task import Limits

KEEP_BYTES = 64 * 1024
LIMITS = granted(Limits(), load(RunnerSettings))
#: Boxes under way at once when runs are counted: more than there are cores, since ending one takes waiting.
UNDER_WAY = 4
WIDTH = 110
#: A zygote's modules, and forks on demand.
FORKS = """
import ctypes, os, re, resource, select, socket, struct, sys
while os.read(0, 1):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    os.write(1, b"1")
"""

Runs = Annotated[int, typer.Option(min=20, help="Runs of each kind.")]
Chunks = Annotated[int, typer.Option(min=1, help="Chunks of one Go source.")]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: seconds of each run, or runs a second."""

    name: str
    seconds: list[float] | None = None
    rate: float | None = None


def main(*, runs: Runs = 300, chunks: Chunks = 400) -> None:
    """Measure strict boxes beside a bare fork, a cold Python and bubblewrap, then Go."""
    rows = uvloop.run(_measure(runs))
    go = uvloop.run(measure_go(chunks))
    _show(rows, go, chunks)


async def _measure(runs: int) -> list[Row]:
    cores = sorted(os.sched_getaffinity(0))
    rows = await _one_at_a_time(runs)
    for count in (1, 2):
        if len(cores) >= count:
            os.sched_setaffinity(0, cores[:count])
            rows.append(Row(f"strict, runs under way on {count} core{'s' * (count > 1)}", rate=await _rate(runs * 2)))
    os.sched_setaffinity(0, cores)
    return rows


async def _one_at_a_time(runs: int) -> list[Row]:
    async with open_sandbox(sandbox_plan()) as box:
        with _warm_python() as fork:
            return await _take_turns(runs, box, fork)


async def _take_turns(runs: int, box: Sandbox, fork: Callable[[], object]) -> list[Row]:
    kinds: dict[str, Callable[[], Awaitable[object]]] = {
        "bare fork and exit of a warm Python": _plain(fork),
        "strict box, warm Python": lambda: run_hello(box),
        "python3 -I -S -c pass": _plain(run_bare),
        "bubblewrap, cold Python": _plain(lambda: run_boxed(CODE)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(runs):
        for name, run in kinds.items():
            started = time.perf_counter()
            await run()
            seconds[name].append(time.perf_counter() - started)
    return [Row(name, seconds=taken) for name, taken in seconds.items()]


async def _rate(runs: int) -> float:
    async with open_sandbox(sandbox_plan()) as box:
        places = asyncio.Semaphore(UNDER_WAY)

        async def one() -> None:
            async with places:
                await run_hello(box)

        await asyncio.gather(*(one() for _ in range(UNDER_WAY * 4)))
        started = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(runs)))
        return runs / (time.perf_counter() - started)


async def run_hello(box: Sandbox) -> None:
    """Run the code in a box; AssertionError if it does not say hello."""
    end = await box.run(BoxJob(LIMITS, KEEP_BYTES, files={"main.py": CODE.encode()}))
    assert end.exit_code == 0, end


def sandbox_plan() -> SandboxPlan:
    """A strict sandbox with two slots, on the interpreter that the peers use."""
    return SandboxPlan("strict", 65534, PYTHON, (), UNDER_WAY, LIMITS, "bench")


@contextmanager
def _warm_python() -> Iterator[Callable[[], object]]:
    """What has a small, warm interpreter fork a child that exits, and wait for it."""
    command = (PYTHON, "-s", "-c", FORKS)
    with subprocess.Popen(command, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as python:
        assert python.stdin
        assert python.stdout
        write, read = python.stdin.write, python.stdout.read
        yield lambda: (write(b"1"), read(1))
        python.stdin.close()


def _plain(run: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def runs() -> object:
        return run()

    return runs


def _show(rows: list[Row], go: GoTimes, chunks: int) -> None:
    table = Table(title="The sandbox alone", caption=f"{os.cpu_count()} cores; hello, world; kinds take turns")
    for heading in ("", "p50 ms", "p95 ms", "a second"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    rows += [Row("Go, a new source", seconds=go.new), Row("Go, the same source again", seconds=go.again)]
    for row in rows:
        table.add_row(row.name, *_cells(row))
    table.add_row(f"Go, {chunks} chunks of one new source", f"{go.chunks * 1000:.0f} in all", "", "")
    Console(width=max(WIDTH, Console().width)).print(table)
    floor, box = (percentile(row.seconds or [], 50) for row in rows[:2])
    typer.echo(f"a strict box costs {box - floor:.2f} ms more than a bare fork and exit")


def _cells(row: Row) -> list[str]:
    if row.seconds is None:
        return ["", "", f"{row.rate:.0f}"]
    return [f"{percentile(row.seconds, percent):.2f}" for percent in (50, 95)] + [""]


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
