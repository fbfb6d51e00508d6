"""`taskandgo explain`: one plain answer: why a task waits, where it runs, or why it died; and what to do."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING

import typer

from services.cli import options

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import Explanation
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


def explain(
    *, task_id: options.TaskId, json: options.Json = False, server: options.Server = options.DEFAULT_SERVER
) -> None:
    """Say why a task waits, where it runs or why it died, and what to do about it."""
    from services.cli.calling import call
    from services.cli.show_explanation import show_explanation
    from services.cli.showing import as_json
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> "Explanation":
        return (await stub.ExplainTask(api.ExplainTaskRequest(task_id=task_id))).explanation

    explanation = call(server, converse)
    typer.echo(as_json(explanation)) if json else show_explanation(explanation)
