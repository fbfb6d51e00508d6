"""`taskandgo wait`: returns when all of some tasks have ended, and says whether all have succeeded."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskandgo.api.scheduler_pb2 import TaskStatus

TaskIds = Annotated[list[str] | None, typer.Argument(metavar="[TASK_ID]...", help="The tasks' ids.")]


def wait(
    *,
    task_ids: TaskIds = None,
    label: options.Labels = None,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """Wait for the end of tasks: of those named, or of all that carry the labels now.

    Exits with 0 if all succeeded, with 1 if not. Ctrl-C stops waiting; the tasks go on.
    """
    if bool(task_ids) == bool(label):
        raise typer.BadParameter("give either TASK_IDs or --label", param_hint="TASK_ID")
    if task_ids:
        raise typer.Exit(wait_for(task_ids, server, json=json))
    raise typer.Exit(_wait_for_labelled(options.pairs("--label", label), server, json=json))


def wait_for(task_ids: "Sequence[str]", server: str, *, json: bool) -> int:
    """Wait for tasks by their ids and show how they ended; the exit code to leave with."""
    from services.cli.calling import call
    from services.cli.following import wait_for_ends

    return _show(call(server, lambda stub: wait_for_ends(stub, task_ids)), json=json)


def _wait_for_labelled(labels: dict[str, str], server: str, *, json: bool) -> int:
    from services.cli.calling import call
    from services.cli.exit_codes import ExitCode
    from services.cli.following import wait_for_labelled

    ended = call(server, lambda stub: wait_for_labelled(stub, labels))
    if not ended:
        said = ", ".join(f"{key}={value}" for key, value in labels.items())
        typer.echo(f"taskandgo: no task carries the label {said}", err=True)
        return ExitCode.NOT_FOUND
    return _show(ended, json=json)


def _show(ended: "list[TaskStatus]", *, json: bool) -> int:
    from services.cli.exit_codes import ExitCode
    from services.cli.showing import as_json, show_ends
    from taskandgo.api import scheduler_pb2 as api

    if json:
        for task in ended:
            typer.echo(as_json(task))
    else:
        show_ends(ended)
    succeeded = all(task.state == api.TASK_STATE_SUCCEEDED for task in ended)
    return ExitCode.OK if succeeded else ExitCode.WRONG
