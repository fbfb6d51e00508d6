"""`taskandgo ingest`, `dispatcher`, `runner`, `monitor`, `migrate`: one service as a process of its own.

Each is told what to do by environment variables, such as BROKER_URL and STORE_URL.
"""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import Annotated

import typer

StoreUrl = Annotated[
    str | None, typer.Option("--store", help="The store to bring up to date; the one of STORE_URL unless given.")
]


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


def migrate(*, store: StoreUrl = None) -> None:
    """Bring the store's schema up to date."""
    from taskandgo.lifecycle import run
    from taskandgo.settings import StoreSettings, load
    from taskandgo.store.migrate import migrate

    run(migrate(store or load(StoreSettings).store_url), "migrate")
    typer.echo("The store is up to date.")
