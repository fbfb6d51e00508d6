"""`taskandgo list`: tasks, the newest first."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import ListTasksRequest, TaskStatus
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

PAGE = 1000

Limit = Annotated[int, typer.Option(min=1, help="How many at the most.")]


def list_tasks(  # noqa: PLR0913 - Typer makes the options from the parameters
    *,
    state: options.States = None,
    priority: options.PriorityOption = None,
    label: options.Labels = None,
    limit: Limit = 100,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """List tasks, the newest first."""
    from services.cli.calling import call
    from services.cli.showing import as_json, show_tasks
    from taskandgo.api import scheduler_pb2 as api

    states = [api.TaskState.Value(f"TASK_STATE_{word.name}") for word in state or []]
    labels = options.pairs("--label", label)
    request = api.ListTasksRequest(states=states, priority=priority or "", labels=labels)
    tasks = call(server, lambda stub: _pages(stub, request, limit))
    if not json:
        return show_tasks(tasks)
    for task in tasks:
        typer.echo(as_json(task))
    return None


async def _pages(stub: "SchedulerAsyncStub", request: "ListTasksRequest", limit: int) -> "list[TaskStatus]":
    found: list[TaskStatus] = []
    while len(found) < limit:
        request.page_size = min(PAGE, limit - len(found))
        page = await stub.ListTasks(request)
        found += page.tasks
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    return found[:limit]
