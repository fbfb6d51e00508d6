"""`taskandgo retry`: runs again what did not succeed of a finished task."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import RetryTaskResponse
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

FailedOnly = Annotated[
    bool, typer.Option("--failed-only", help="Keep the results of chunks that succeeded; they always are.")
]


def retry(
    *,
    task_id: options.TaskId,
    failed_only: FailedOnly = True,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """Run again what did not succeed of a task that failed, was cancelled or expired.

    Chunks that succeeded keep their result. A task that succeeded, or has not ended, is refused.
    """
    from services.cli.calling import call
    from services.cli.showing import as_json
    from taskandgo.api import scheduler_pb2 as api

    del failed_only

    async def converse(stub: "SchedulerAsyncStub") -> "RetryTaskResponse":
        return await stub.RetryTask(api.RetryTaskRequest(task_id=task_id))

    answer = call(server, converse)
    typer.echo(as_json(answer) if json else answer.message)
