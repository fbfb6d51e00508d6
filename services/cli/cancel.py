"""`taskandgo cancel`: ends a task that has not finished."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING

import typer

from services.cli import options

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import CancelTaskResponse
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


def cancel(
    *, task_id: options.TaskId, json: options.Json = False, server: options.Server = options.DEFAULT_SERVER
) -> None:
    """Cancel a task that has not finished. One that has keeps its state, and that is said."""
    from services.cli.calling import call
    from services.cli.showing import as_json
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> "CancelTaskResponse":
        return await stub.CancelTask(api.CancelTaskRequest(task_id=task_id))

    answer = call(server, converse)
    typer.echo(as_json(answer) if json else answer.message)
