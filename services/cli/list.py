"""`taskandgo list`: tasks, the newest first."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING

import typer

from services.cli import options

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import TaskStatus
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


def list_tasks(  # noqa: PLR0913 - Typer makes the options from the parameters
    *,
    state: options.States = None,
    priority: options.PriorityOption = None,
    label: options.Labels = None,
    limit: options.Limit = 100,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """List tasks, the newest first."""
    from services.cli.calling import call
    from services.cli.paging import pages
    from services.cli.showing import as_json, show_tasks
    from taskandgo.api import scheduler_pb2 as api

    states = [api.TaskState.Value(f"TASK_STATE_{word.name}") for word in state or []]
    labels = options.pairs("--label", label)
    request = api.ListTasksRequest(states=states, priority=priority or "", labels=labels)

    async def converse(stub: "SchedulerAsyncStub") -> "list[TaskStatus]":
        return [task async for page in pages(stub.ListTasks, request, limit) for task in page.tasks]

    tasks = call(server, converse)
    if not json:
        return show_tasks(tasks)
    for task in tasks:
        typer.echo(as_json(task))
    return None
