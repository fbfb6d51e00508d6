"""Progress bars on standard error, for people only: where it is no terminal, nothing is shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from taskandgo.api import scheduler_pb2 as api


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A bar that goes on by one at each call of what this yields."""
    with _bar() as bar:
        row = bar.add_task(what, total=total)
        yield lambda: bar.advance(row)


@contextmanager
def chunk_counting(*, shown: bool) -> Iterator[Callable[[api.TaskStatus], None]]:
    """A bar of the chunks of one task, told by each of its states; nothing for a task of one chunk."""
    with _bar(Rate(), shown=shown) as bar:
        rows: list[TaskID] = []

        def show(status: api.TaskStatus) -> None:
            if status.chunk_count <= 1:
                return
            ended = status.chunks_succeeded + status.chunks_failed
            if not rows:
                # What had ended before anybody looked says nothing about the rate.
                rows.append(bar.add_task("", completed=ended, total=status.chunk_count))
            bar.update(rows[0], completed=ended, description=_chunks(status))

        yield show


def _chunks(status: api.TaskStatus) -> str:
    failed = f", [red]{status.chunks_failed} failed[/red]" if status.chunks_failed else ""
    return f"chunks ({status.chunks_running} running{failed})"


class Rate(ProgressColumn):
    """How many end a second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s", "progress.data.speed")


def _bar(*more: ProgressColumn, shown: bool = True) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *more)
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, transient=True, disable=not (shown and console.is_terminal))
