"""What a task costs each service, RabbitMQ and PostgreSQL: CPU time, which a busy machine does not change.

Run as `python -m bench.service_costs`. docs/scaling.md multiplies these figures; a service's process has one Python
thread that works, so that a core divided by its cost is how much one replica can do.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.boxed import CODE
from bench.stack import SERVICES, TaskAndGoSystem, ready_channel, started_services
from bench.system import PATIENCE_SECONDS, WrongOutputError
from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.servers.postgres import private_postgres
from tests.servers.rabbitmq import private_rabbitmq

#: With these, one zygote serves all: what a dead one computed could not be told from what was not computed.
WARM_UP, TASKS = 200, 1500
TICK = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Process:
    """A process now: what it and its dead children computed, in seconds, and how much memory it has."""

    pid: int
    parent: int
    name: str
    command: str
    seconds: float
    resident_bytes: int


def processes() -> Iterator[Process]:
    """All processes that can be read."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, command = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        seconds = sum(map(int, fields[11:15])) / TICK
        name = stat.partition("(")[2].rpartition(")")[0]
        resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        yield Process(int(folder.name), int(fields[1]), name, command.decode().replace("\0", " "), seconds, resident)


def usage(postgres: str) -> dict[str, tuple[float, int]]:
    """CPU seconds and bytes of each part of the stack that this process started, all its processes together."""
    everyone = {one.pid: one for one in processes()}
    port = f"-p {urlsplit(postgres).port} "
    used: dict[str, tuple[float, int]] = {}
    for one in everyone.values():
        if part := _part(one, everyone, port):
            seconds, resident = used.get(part, (0.0, 0))
            used[part] = (seconds + one.seconds, resident + one.resident_bytes)
    return used


def _part(one: Process, everyone: dict[int, Process], port: str) -> str:
    """Which part of ours the process belongs to; "" for none. PostgreSQL is nobody's child, but has a port."""
    part, ancestor = "", everyone.get(one.pid)
    while ancestor is not None and ancestor.pid != os.getpid():
        part = part or _named(ancestor)
        if part == "PostgreSQL" and port in ancestor.command:
            return part
        ancestor = everyone.get(ancestor.parent)
    return part if ancestor is not None and part != "PostgreSQL" else ""


def _named(one: Process) -> str:
    parts = {"beam.smp": "RabbitMQ", "postgres": "PostgreSQL"}
    services = (name for name in SERVICES if f"services.cli.main {name}" in one.command)
    return parts.get(one.name) or next(services, "")


def run_burst(scheduler: api_grpc.SchedulerStub) -> None:
    """As many tasks; return when all have succeeded."""
    TaskAndGoSystem(scheduler).run_burst(TASKS)


def run_split(scheduler: api_grpc.SchedulerStub) -> None:
    """One task of as many chunks; return when it has succeeded."""
    task = api.Task(data=f"python:{CODE}", split=api.Split(chunks=TASKS))
    *_, last = scheduler.RunTask(api.RunTaskRequest(task=task), timeout=PATIENCE_SECONDS)
    if last.status.chunks_succeeded != TASKS:
        raise WrongOutputError(f"{last.status.chunks_succeeded} of {TASKS} chunks succeeded")


def main() -> None:
    """Measure, and print two tables."""
    with private_rabbitmq() as rabbitmq, private_postgres() as postgres:
        _measure(f"{TASKS} tasks, submitted 100 a call", run_burst, rabbitmq, postgres)
        _measure(f"one task of {TASKS} chunks", run_split, rabbitmq, postgres)


def _measure(what: str, work: Callable[[api_grpc.SchedulerStub], None], rabbitmq: str, postgres: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        services = started_services(Path(folder), SERVICES, rabbitmq, postgres)
        with services as address, ready_channel(address) as channel:
            scheduler = api_grpc.SchedulerStub(channel)
            TaskAndGoSystem(scheduler).run_burst(WARM_UP)
            before, start = usage(postgres), time.perf_counter()
            work(scheduler)
            after, wall = usage(postgres), time.perf_counter() - start
    print(f"\n{what}, in {wall:.1f} s: {TASKS / wall:.0f}/s\n")
    print("| part | CPU each | a core does | memory |\n|---|---|---|---|")
    for part, (seconds, resident) in sorted(after.items()):
        cost = (seconds - before.get(part, (0.0, 0))[0]) / TASKS
        print(f"| {part} | {cost * 1e3:.2f} ms | {1 / cost:,.0f}/s | {resident / MIB:,.0f} MiB |")


if __name__ == "__main__":
    main()
