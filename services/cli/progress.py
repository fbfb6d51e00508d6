"""Progress bars on standard error, for people only: where it is no terminal, nothing is shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from taskandgo.api import scheduler_pb2 as api


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A bar that goes on by one at each call of what this yields."""
    with _bar() as bar:
        row = bar.add_task(what, total=total)
        yield lambda: bar.advance(row)


@contextmanager
def chunk_counting(*, shown: bool) -> Iterator[Callable[[api.TaskStatus], None]]:
    """A bar of the chunks of one task, told by each of its states."""
    with _bar(shown=shown) as bar:
        row = bar.add_task("chunks", total=None, visible=False)

        def show(status: api.TaskStatus) -> None:
            ended = status.chunks_succeeded + status.chunks_failed
            failed = f", {status.chunks_failed} failed" if status.chunks_failed else ""
            words = f"chunks ({status.chunks_running} running{failed})"
            many = status.chunk_count > 1
            bar.update(row, completed=ended, total=status.chunk_count, description=words, visible=many)

        yield show


def _bar(*, shown: bool = True) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, transient=True, disable=not (shown and console.is_terminal))
