"""`taskandgo watch`: follows one task to its end: its output where it belongs, its states as lines on stderr.

On a terminal, a task of many chunks has a bar that says how far they have come, instead of a line for each step.
"""

# ruff: noqa: PLC0415 - imports wait until they are needed, so that --help is fast
import sys
from typing import TYPE_CHECKING

import typer

from services.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.cli.live_output import LiveOutput
    from taskandgo.api.scheduler_pb2 import TaskStatus, WatchTaskResponse
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


def watch(
    *, task_id: options.TaskId, json: options.Json = False, server: options.Server = options.DEFAULT_SERVER
) -> None:
    """Follow one task to its end, with its output; one of many chunks with a bar. Ctrl-C stops watching; it goes on."""
    from services.cli.calling import call
    from services.cli.progress import chunk_counting
    from services.cli.showing import as_json
    from taskandgo.api import scheduler_pb2 as api

    async def converse(stub: "SchedulerAsyncStub") -> None:
        with chunk_counting(shown=not json) as counted:
            watching = Watching(counted)
            async for event in stub.WatchTask(api.WatchTaskRequest(task_id=task_id)):
                if json:
                    typer.echo(as_json(event))
                else:
                    watching.show(event)
        # The bar is gone: what it stood in the way of comes now.
        watching.end()

    call(server, converse)


class Watching:
    """What has been shown of one task."""

    def __init__(self, counted: "Callable[[TaskStatus], None]") -> None:
        self._counted = counted
        self._output: LiveOutput | None = None
        self._bar = sys.stderr.isatty()
        self._last: TaskStatus | None = None

    def show(self, event: "WatchTaskResponse") -> None:
        """Show an event; the state always comes first, and says what kind of task it is."""
        from services.cli.following import is_final

        if self._output is None:
            self._output = self._make_output(event.status)
        if event.HasField("output"):
            return self._output.add(event.output)
        task, before = event.status, self._last
        self._last = task
        self._counted(task)
        told_by_bar = self._bar and task.chunk_count > 1 and before is not None and before.state == task.state
        if not told_by_bar and not is_final(task):
            _tell(task)
        return None

    def end(self) -> None:
        """Show how it ended, with the output that did not come before."""
        task, output = self._last, self._output
        if task is None or output is None:
            return
        # What a short task wrote is only here.
        output.finish(task)
        _tell(task)
        if output.missed:
            missed = f"{output.missed} bytes of output came before this watch"
            typer.echo(f"{missed}; see: taskandgo get {task.task_id}", err=True)

    @staticmethod
    def _make_output(task: "TaskStatus") -> "LiveOutput":
        from services.cli.live_output import LiveOutput
        from services.cli.run_live import write_stderr, write_stdout

        return LiveOutput(write_stdout, write_stderr, live=task.strategy != "split", late=True)


def _tell(task: "TaskStatus") -> None:
    from services.cli.showing import chunks_text, state_text

    chunks = f", {chunks_text(task)}" if task.chunk_count > 1 else ""
    why = f": {task.result.reason}" if task.result.reason else ""
    # A bar that is shown keeps below what is written here, and only here.
    sys.stderr.write(f"{task.task_id} {state_text(task.state)}{chunks}{why}\n")
    sys.stderr.flush()
