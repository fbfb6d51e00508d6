"""`taskandgo chunks`: the chunks of a task: where each is, how it ended, on which runner, and what it used."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options
from taskandgo.words import ChunkState, Outcome

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import ChunkStatus
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

States = Annotated[list[ChunkState] | None, typer.Option("--state", help="Only in this state; repeatable.")]
Outcomes = Annotated[list[Outcome] | None, typer.Option("--outcome", help="Only with this outcome; repeatable.")]


def chunks(  # noqa: PLR0913 - Typer makes the options from the parameters
    *,
    task_id: options.TaskId,
    state: States = None,
    outcome: Outcomes = None,
    limit: options.Limit = 100,
    json: options.Json = False,
    server: options.Server = options.DEFAULT_SERVER,
) -> None:
    """List the chunks of a task, in their order."""
    from services.cli.calling import call
    from services.cli.paging import pages
    from services.cli.showing import as_json, show_chunks
    from taskandgo.api import scheduler_pb2 as api

    states = [api.ChunkState.Value(f"CHUNK_STATE_{word.name}") for word in state or []]
    outcomes = [api.Outcome.Value(f"OUTCOME_{word.name}") for word in outcome or []]
    request = api.ListChunksRequest(task_id=task_id, states=states, outcomes=outcomes)

    async def converse(stub: "SchedulerAsyncStub") -> "list[ChunkStatus]":
        return [chunk async for page in pages(stub.ListChunks, request, limit) for chunk in page.chunks]

    found = call(server, converse)
    if not json:
        return show_chunks(found)
    for chunk in found:
        typer.echo(as_json(chunk))
    return None
