"""`taskandgo watch`: follows one task to its end: each state as a line on stderr, its output where it belongs."""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
from typing import TYPE_CHECKING

import typer

from services.cli import options

if TYPE_CHECKING:
    from services.cli.live_output import LiveOutput
    from taskandgo.api.scheduler_pb2 import WatchTaskResponse
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


def watch(
    *, task_id: options.TaskId, json: options.Json = False, server: options.Server = options.DEFAULT_SERVER
) -> None:
    """Follow one task to its end. Ctrl-C stops watching; the task goes on."""
    from services.cli.calling import call
    from services.cli.live_output import LiveOutput
    from services.cli.run_live import write_stderr, write_stdout
    from services.cli.showing import as_json
    from taskandgo.api import scheduler_pb2 as api

    outputs: list[LiveOutput] = []

    async def converse(stub: "SchedulerAsyncStub") -> None:
        async for event in stub.WatchTask(api.WatchTaskRequest(task_id=task_id)):
            # The state always comes first, and says what kind of task it is.
            if not outputs:
                live = event.status.strategy != "split"
                outputs.append(LiveOutput(write_stdout, write_stderr, live=live, late=True))
            if json:
                typer.echo(as_json(event))
            else:
                _show(event, outputs[0])

    call(server, converse)


def _show(event: "WatchTaskResponse", output: "LiveOutput") -> None:
    from services.cli.following import is_final
    from services.cli.showing import chunks_text, state_text

    if event.HasField("output"):
        return output.add(event.output)
    task = event.status
    if is_final(task):
        # What a short task wrote is only here.
        output.finish(task)
    chunks = f", {chunks_text(task)}" if task.chunk_count > 1 else ""
    why = f": {task.result.reason}" if task.result.reason else ""
    typer.echo(f"{task.task_id} {state_text(task.state)}{chunks}{why}", err=True)
    if is_final(task) and output.missed:
        typer.echo(
            f"{output.missed} bytes of output came before this watch; see: taskandgo get {task.task_id}", err=True
        )
    return None
