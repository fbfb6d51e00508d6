"""The tables of `top`: their columns, and how rows are made, sorted and filtered. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from services.cli.showing import state_text
from taskandgo.api import scheduler_pb2 as api
from taskandgo.explanation.phrases import duration
from taskandgo.printable import printable

PRIORITIES = ("low", "normal", "high", "critical")
NANOSECONDS = 1_000_000_000
BAR_CELLS = 10
Cells = list[Text]
Rows = dict[str, Cells]
#: What rows are sorted by.
Key = Callable[[api.TaskStatus], str | int | float]

LEVEL_COLUMNS = ("priority", "queued", "oldest", "running", "chunks ready", "chunks run")
RUNNER_COLUMNS = ("runner", "pool", "busy", "slots", "heard", "languages", "level")


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """How tasks are sorted: by a column, the natural way or the other way round."""

    column: str = "age"
    reverse: bool = False

    def next(self) -> "TaskOrder":
        """By the next column."""
        names = list(SORTED_BY)
        return TaskOrder(names[(names.index(self.column) + 1) % len(names)])

    def reversed(self) -> "TaskOrder":
        """The other way round."""
        return TaskOrder(self.column, not self.reverse)


#: The columns of tasks, and what each is sorted by: what a person looks for first comes first.
SORTED_BY: dict[str, Key] = {
    "task": lambda task: task.task_id,
    "state": lambda task: task.state,
    "priority": lambda task: -_urgency(task),
    "language": lambda task: task.language,
    "pool": lambda task: task.pool,
    "age": lambda task: task.queued_at.ToNanoseconds(),
    "ran": lambda task: task.started_at.ToNanoseconds() or float("inf"),
    "chunks": lambda task: -task.chunk_count,
}
TASK_COLUMNS = (*SORTED_BY, "labels")


def level_rows(cluster: api.Cluster) -> Rows:
    """A row a priority."""
    rows = {}
    for level in cluster.levels:
        counts = (level.running, level.chunks_ready, level.chunks_running)
        oldest = _since(level.oldest_queued_at, cluster.at) if level.HasField("oldest_queued_at") else ""
        rows[level.priority] = [
            Text(level.priority),
            *(_number(level.queued, "yellow"), Text(oldest, justify="right")),
            *(_number(count, "cyan") for count in counts),
        ]
    return rows


def runner_rows(cluster: api.Cluster) -> Rows:
    """A row a runner: its slots as a bar; red when it is silent."""
    rows = {}
    for runner in cluster.runners:
        heard = _since(runner.heard_at, cluster.at)
        said = Text(f"silent {heard}", "bold red") if runner.silent else Text("draining" if runner.draining else heard)
        rows[runner.runner] = [
            Text(printable(runner.runner), "red" if runner.silent else ""),
            Text(runner.pool),
            slots_bar(runner),
            Text(f"{runner.busy}/{runner.slots}", justify="right"),
            said,
            Text(" ".join(runner.languages)),
            Text(runner.isolation),
        ]
    return rows


def slots_bar(runner: api.RunnerStatus) -> Text:
    """How many of its slots are busy."""
    filled = round(BAR_CELLS * min(runner.busy, runner.slots) / max(1, runner.slots))
    colour = "red" if runner.silent else "cyan"
    return Text("█" * filled, colour) + Text("░" * (BAR_CELLS - filled), "dim")


def task_rows(tasks: Sequence[api.TaskStatus], now: Timestamp, order: TaskOrder, wanted: str) -> Rows:
    """A row a task, those that have every word of `wanted` somewhere."""
    words = wanted.lower().split()
    chosen = [task for task in tasks if all(word in _searched(task) for word in words)]
    chosen.sort(key=lambda task: (SORTED_BY[order.column](task), task.task_id), reverse=order.reverse)
    return {task.task_id: _cells(task, now) for task in chosen}


def _cells(task: api.TaskStatus, now: Timestamp) -> Cells:
    ended = task.chunks_succeeded + task.chunks_failed
    chunks = f"{ended}/{task.chunk_count}" if task.chunk_count > 1 else ""
    until = task.finished_at if task.HasField("finished_at") else now
    ran = _since(task.started_at, until) if task.HasField("started_at") else ""
    return [
        Text(task.task_id),
        state_text(task.state),
        Text(task.priority),
        Text(task.language),
        Text(task.pool),
        Text(_since(task.queued_at, now), justify="right"),
        Text(ran, justify="right"),
        Text(f"{chunks} ✗{task.chunks_failed}" if chunks and task.chunks_failed else chunks, justify="right"),
        Text(printable(_labels(task)), "dim"),
    ]


def _searched(task: api.TaskStatus) -> str:
    state = state_text(task.state).plain
    return " ".join((task.task_id, state, task.priority, task.language, task.pool, _labels(task))).lower()


def _labels(task: api.TaskStatus) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(task.labels.items()))


def _urgency(task: api.TaskStatus) -> int:
    return PRIORITIES.index(task.priority) if task.priority in PRIORITIES else -1


def _since(start: Timestamp, end: Timestamp) -> str:
    # Parts of a second would only flicker.
    return duration(max(0, (end.ToNanoseconds() - start.ToNanoseconds()) // NANOSECONDS))


def _number(count: int, colour: str) -> Text:
    return Text(f"{count:,}", colour if count else "dim", justify="right")
