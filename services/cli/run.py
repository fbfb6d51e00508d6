"""`taskandgo run`: runs a task as if it ran here: its output, byte for byte, and its exit code. Ctrl-C cancels it."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
import typer

from services.cli import options
from services.cli.asked_task import AskedTask
from services.cli.asking import asks_for_task


@asks_for_task
def run(*, asked: AskedTask, json: options.Json = False, server: options.Server = options.DEFAULT_SERVER) -> None:
    """Run a task: stream its output and exit with its exit code. Ctrl-C cancels it.

    Without an exit code of its own: 124 timed out, 130 cancelled, 125 anything else.
    """
    task = asked.to_message()
    from services.cli.calling import call
    from services.cli.run_live import run_live

    raise typer.Exit(call(server, lambda stub: run_live(stub, task, json=json)))
