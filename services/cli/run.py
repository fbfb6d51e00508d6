"""`taskandgo run`: runs a task as if it ran here: its output, byte for byte, and its exit code. Ctrl-C cancels it."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING

import typer

from services.cli import options
from services.cli.asked_task import AskedTask
from services.cli.asking import asks_for_task

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


@asks_for_task
def run(*, asked: AskedTask, json: options.Json = False, server: options.Server = options.DEFAULT_SERVER) -> None:
    """Run a task: stream its output and exit with its exit code. Ctrl-C cancels it.

    The output of a task that is cut comes once it has ended: the chunks' in their order, or the reduce's.
    Without an exit code of its own: 124 timed out, 130 cancelled, 125 anything else.
    """
    sending = asked.to_message()
    from services.cli.calling import call
    from services.cli.run_live import run_live

    async def converse(stub: "SchedulerAsyncStub") -> int:
        return await run_live(stub, await sending.ready(stub), json=json)

    raise typer.Exit(call(server, converse))
