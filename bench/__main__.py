"""`python -m bench`: starts a RabbitMQ, a PostgreSQL, TaskAndGo and its peers, measures them, stops everything."""

import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.celery_system import celery_system
from bench.dramatiq_system import dramatiq_system
from bench.measure import Plan, measure
from bench.processes import logs
from bench.report import as_json, show, show_submits
from bench.stack import taskandgo_system
from bench.submits import Accepted, measure_submits, submitting
from bench.system import System
from tests.servers.postgres import private_postgres
from tests.servers.rabbitmq import private_rabbitmq

OURS = "TaskAndGo"
NAMES = (OURS, "Celery", "Dramatiq")

Tasks = Annotated[int, typer.Option(min=1, help="Tasks in a burst.")]
Singles = Annotated[int, typer.Option(min=2, help="Tasks run one at a time in a round.")]
Rounds = Annotated[int, typer.Option(min=1, help="Interleaved rounds.")]
Only = Annotated[list[str] | None, typer.Option(help=f"Measure only these, out of {', '.join(NAMES)}.")]
Submits = Annotated[int, typer.Option(min=0, help="Tasks submitted in a round, to see how fast; 0: none.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]


def main(  # noqa: PLR0913 - Typer makes the options from the parameters
    *,
    tasks: Tasks = 300,
    singles: Singles = 100,
    rounds: Rounds = 3,
    submits: Submits = 2000,
    only: Only = None,
    json: Json = False,
) -> None:
    """Measure TaskAndGo side by side with Celery and Dramatiq, the same sandboxed code on the same RabbitMQ."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    plan, names = Plan(tasks, singles, rounds), _wanted(only)
    progress = Console(stderr=True)
    with ExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="taskandgo-bench-")))
        try:
            accepted = _measure_submits(folder, submits, rounds) if submits else {}
            times = measure(_start(started, folder, names), plan, progress.print)
        except Exception:
            progress.print(logs(folder), markup=False)
            raise
    if json:
        typer.echo(as_json(times, accepted, plan))
    else:
        show(times, plan, OURS)
        show_submits(accepted, rounds)


def _wanted(only: list[str] | None) -> list[str]:
    by_word = {name.lower(): name for name in NAMES}
    if unknown := [word for word in only or () if word.lower() not in by_word]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(NAMES)}", param_hint="--only")
    return [by_word[word.lower()] for word in only] if only else list(NAMES)


def _measure_submits(folder: Path, tasks: int, rounds: int) -> dict[str, Accepted]:
    with (
        private_rabbitmq() as rabbitmq,
        private_postgres() as postgres,
        submitting(folder, rabbitmq, postgres) as client,
    ):
        return measure_submits(client, tasks, rounds)


def _start(started: ExitStack, folder: Path, names: list[str]) -> dict[str, System]:
    rabbitmq = started.enter_context(private_rabbitmq())
    systems: dict[str, System] = {}
    for name in names:
        if name == OURS:
            postgres = started.enter_context(private_postgres())
            systems[name] = started.enter_context(taskandgo_system(folder, rabbitmq, postgres))
        elif name == "Celery":
            systems[name] = started.enter_context(celery_system(folder, rabbitmq))
        else:
            systems[name] = started.enter_context(dramatiq_system(folder, rabbitmq))
    return systems


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
