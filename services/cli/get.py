"""`taskandgo get`: one task with its state, its output, and why it failed; or all of its output, into a file."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


Output = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write all that is kept of its stdout here, or to - (stdout).")
]


def get(
    *,
    task_id: options.TaskId,
    output: Output = None,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """Show one task: where it is, what it wrote, why it failed. With --output, nothing but what it wrote."""
    if output is not None:
        return _save(task_id, output, server)
    from services.cli.calling import call
    from services.cli.showing import as_json, show_task
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> api.TaskStatus:
        return (await stub.GetTask(api.GetTaskRequest(task_id=task_id))).task

    task = call(server, converse)
    typer.echo(as_json(task)) if json else show_task(task)
    return None


def _save(task_id: str, output: Path, server: str) -> None:
    from services.cli.asked_input import STANDARD_INPUT
    from services.cli.calling import call
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> None:
        parts = aiter(stub.ReadOutput(api.ReadOutputRequest(task_id=task_id)))
        # What is there is not overwritten before it is known that nothing is wrong.
        first = await anext(parts, api.ReadOutputResponse())
        try:
            with sys.stdout.buffer if output == STANDARD_INPUT else output.open("wb") as into:
                into.write(first.data)
                async for part in parts:
                    into.write(part.data)
        except OSError as error:
            raise typer.BadParameter(f"{output}: {error.strerror}", param_hint="--output") from error

    call(server, converse)
