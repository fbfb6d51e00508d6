"""`taskandgo get`: one task with its state, its output, and why it failed."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING

import typer

from services.cli import options

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


def get(
    *, task_id: options.TaskId, json: options.Json = False, server: options.Server = options.DEFAULT_SERVER
) -> None:
    """Show one task: where it is, what it wrote, why it failed."""
    from services.cli.calling import call
    from services.cli.showing import as_json, show_task
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> api.TaskStatus:
        return (await stub.GetTask(api.GetTaskRequest(task_id=task_id))).task

    task = call(server, converse)
    typer.echo(as_json(task)) if json else show_task(task)
