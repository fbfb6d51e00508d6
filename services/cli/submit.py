"""`taskandgo submit`: hands in a task and says its id, or many from a file; with --wait, waits for the end."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options
from services.cli.asked_task import AskedTask
from services.cli.asking import asks_for_task

if TYPE_CHECKING:
    from services.cli.large_input import Sending
    from taskandgo.api.scheduler_pb2 import TaskStatus
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for the end and show it; the exit code is the task's, or that of `wait`.")
]
Batch = Annotated[
    Path | None,
    typer.Option(help="Submit many: a task a line, in the API's JSON. Only --label goes with it, added to each."),
]


@asks_for_task
def submit(
    *,
    asked: AskedTask,
    batch: Batch = None,
    wait: Wait = False,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """Submit a task, or many with --batch; prints the ids."""
    if batch is not None:
        _submit_batch(asked, batch, server, wait=wait, json=json)
    elif wait:
        _submit_and_wait(asked.to_message(), server, json=json)
    else:
        _submit(asked.to_message(), server, json=json)


def _submit(sending: "Sending", server: str, *, json: bool) -> None:
    from services.cli.calling import call
    from services.cli.showing import as_json
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> api.SubmitTaskResponse:
        return await stub.SubmitTask(api.SubmitTaskRequest(task=await sending.ready(stub)))

    answer = call(server, converse)
    typer.echo(as_json(answer) if json else answer.task_id)


def _submit_and_wait(sending: "Sending", server: str, *, json: bool) -> None:
    from services.cli.calling import call
    from services.cli.exit_codes import exit_code_of
    from services.cli.following import submit_and_wait
    from services.cli.showing import as_json, show_task

    async def converse(stub: "SchedulerAsyncStub") -> "TaskStatus":
        return await submit_and_wait(stub, await sending.ready(stub))

    final = call(server, converse)
    typer.echo(as_json(final)) if json else show_task(final)
    raise typer.Exit(exit_code_of(final))


def _submit_batch(asked: AskedTask, batch: Path, server: str, *, wait: bool, json: bool) -> None:
    from services.cli.asked_input import open_input
    from services.cli.calling import call
    from services.cli.exit_codes import ExitCode
    from services.cli.submit_batch import BatchFile, submit_batch
    from services.cli.wait import wait_for

    if asked != AskedTask(labels=asked.labels):
        message = "only --label, --wait, --json and --server go with --batch; say the rest in its lines"
        raise typer.BadParameter(message, param_hint="--batch")
    with open_input(batch, "--batch") as source:
        batch_file = BatchFile(batch, source, options.pairs("--label", asked.labels))
        report = call(server, lambda stub: submit_batch(stub, batch_file, json=json, keep_ids=wait))
    code = wait_for(report.task_ids, server, json=json) if wait else ExitCode.OK
    raise typer.Exit(ExitCode.REFUSED if report.refused else code)
