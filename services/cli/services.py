"""`taskandgo ingest`, `dispatcher`, `runner`, `monitor`, `migrate`: one service as a process of its own.

Each is told what to do by environment variables, such as BROKER_URL and STORE_URL.
"""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import Annotated

import typer

DEFAULT_STORE = "postgresql://taskandgo:taskandgo@127.0.0.1:5432/taskandgo"
StoreUrl = Annotated[str, typer.Option("--store", envvar="STORE_URL", help="The store to bring up to date.")]


def ingest() -> None:
    """Run ingest: takes tasks over gRPC and HTTP."""
    from services.ingest.main import main
    from taskandgo.lifecycle import run

    run(main(), "ingest")


def dispatcher() -> None:
    """Run a dispatcher: makes chunks of tasks, and results of chunks."""
    from services.dispatcher.main import main
    from taskandgo.lifecycle import run

    run(main(), "dispatcher")


def runner() -> None:
    """Run a runner: runs chunks in sandboxes."""
    from services.runner.main import main
    from taskandgo.lifecycle import run

    run(main(), "runner")


def monitor() -> None:
    """Run the monitor: metrics and the dashboard."""
    from services.monitor.main import main
    from taskandgo.lifecycle import run

    run(main(), "monitor")


def migrate(*, store: StoreUrl = DEFAULT_STORE) -> None:
    """Bring the store's schema up to date."""
    from taskandgo.lifecycle import run
    from taskandgo.store.migrate import migrate

    run(migrate(store), "migrate")
    typer.echo("The store is up to date.")
