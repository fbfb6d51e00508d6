"""`taskandgo submit`: hands in a task and says its id; with --wait, waits for its end and shows it."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options
from services.cli.asked_task import AskedTask
from services.cli.asking import asks_for_task

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import Task
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end, show it, and exit with the task's exit code.")]


@asks_for_task
def submit(
    *,
    asked: AskedTask,
    wait: Wait = False,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """Submit a task; prints its id."""
    if wait:
        _submit_and_wait(asked.to_message(), server, json=json)
    else:
        _submit(asked.to_message(), server, json=json)


def _submit(task: "Task", server: str, *, json: bool) -> None:
    from services.cli.calling import call
    from services.cli.showing import as_json
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> api.SubmitTaskResponse:
        return await stub.SubmitTask(api.SubmitTaskRequest(task=task))

    answer = call(server, converse)
    typer.echo(as_json(answer) if json else answer.task_id)


def _submit_and_wait(task: "Task", server: str, *, json: bool) -> None:
    from services.cli.calling import call
    from services.cli.exit_codes import exit_code_of
    from services.cli.following import submit_and_wait
    from services.cli.showing import as_json, show_task

    final = call(server, lambda stub: submit_and_wait(stub, task))
    typer.echo(as_json(final)) if json else show_task(final)
    raise typer.Exit(exit_code_of(final))
