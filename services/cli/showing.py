"""How tasks are shown to people, and to programs as protobuf's JSON."""

from collections import Counter

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from taskandgo.api import scheduler_pb2 as api
from taskandgo.printable import printable

COLOURS = {
    api.TASK_STATE_QUEUED: "yellow",
    api.TASK_STATE_RUNNING: "cyan",
    api.TASK_STATE_SUCCEEDED: "green",
    api.TASK_STATE_FAILED: "red",
    api.TASK_STATE_CANCELLED: "magenta",
    api.TASK_STATE_EXPIRED: "magenta",
}
CHUNK_COLOURS = {
    api.CHUNK_STATE_WAITING: "",
    api.CHUNK_STATE_READY: "yellow",
    api.CHUNK_STATE_RUNNING: "cyan",
    api.CHUNK_STATE_FINISHED: "red",
}
SHOWN_MISSING = 20
OPEN_STATES = (api.TASK_STATE_QUEUED, api.TASK_STATE_RUNNING)


def as_json(message: Message) -> str:
    """The message in protobuf's JSON, on one line."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)


def state_text(state: "api.TaskState.ValueType") -> Text:
    """The state's word in its colour."""
    return Text(api.TaskState.Name(state).removeprefix("TASK_STATE_").lower(), COLOURS.get(state, ""))


def outcome_word(ended: api.Result | api.ChunkStatus) -> str:
    """How the attempt that counts ended, in the product's word."""
    return api.Outcome.Name(ended.outcome).removeprefix("OUTCOME_").lower()


def chunks_text(task: api.TaskStatus) -> str:
    """How far its chunks have come."""
    counts = {"failed": task.chunks_failed, "running": task.chunks_running}
    others = "".join(f", {count} {word}" for word, count in counts.items() if count)
    return f"{task.chunks_succeeded} of {task.chunk_count} chunks succeeded{others}"


def seconds_between(start: Timestamp, end: Timestamp) -> float:
    """The time from one instant to another."""
    return (end.ToNanoseconds() - start.ToNanoseconds()) / 1e9


def show_tasks(tasks: list[api.TaskStatus]) -> None:
    """A table, a line a task."""
    table = Table("task", "state", "priority", "language", "accepted", "waited", "ran", "labels", box=None)
    for task in tasks:
        labels = " ".join(f"{key}={value}" for key, value in sorted(task.labels.items()))
        accepted = f"{task.queued_at.ToDatetime():%Y-%m-%d %H:%M:%S}"
        row = (task.priority, task.language, accepted, _waited(task), _ran(task), labels)
        table.add_row(Text(task.task_id), state_text(task.state), *(Text(printable(cell)) for cell in row))
    _wide_console().print(table)


def show_ends(tasks: list[api.TaskStatus]) -> None:
    """A line for each task that did not succeed, and how many ended how."""
    counts: Counter[str] = Counter()
    for task in tasks:
        counts[state_text(task.state).plain] += 1
        if task.state != api.TASK_STATE_SUCCEEDED:
            why = f": {task.result.reason}" if task.result.reason else ""
            _wide_console().print(Text(f"{task.task_id} ") + state_text(task.state) + Text(printable(why)))
    _wide_console().print(Text(", ".join(f"{count} {word}" for word, count in counts.items())))


def show_chunks(chunks: list[api.ChunkStatus]) -> None:
    """A table, a line a chunk."""
    table = Table("chunk", "state", "attempt", "runner", "ran", "CPU", "memory", "why", box=None)
    for chunk in chunks:
        usage = chunk.usage
        used = (f"{usage.cpu_seconds:.2f} s", f"{usage.peak_memory_bytes / 2**20:.0f} MiB") if usage.isolation else ""
        cells = (str(chunk.attempt or ""), chunk.runner, _ran(chunk), *(used or ("", "")), chunk.reason)
        name = "reduce" if chunk.reduce else str(chunk.chunk_index)
        table.add_row(Text(name), _chunk_state(chunk), *(Text(printable(cell)) for cell in cells))
    _wide_console().print(table)


def _chunk_state(chunk: api.ChunkStatus) -> Text:
    if chunk.outcome == api.OUTCOME_SUCCEEDED:
        return Text("succeeded", "green")
    word = api.ChunkState.Name(chunk.state).removeprefix("CHUNK_STATE_").lower()
    return Text(outcome_word(chunk) if chunk.outcome else word, CHUNK_COLOURS.get(chunk.state, ""))


def show_task(task: api.TaskStatus) -> None:
    """A panel: where the task is, why it failed, what it used, and what it wrote."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(task):
        facts.add_row(Text(name, "dim"), value)
    result = task.result
    outputs = [*_output("stdout", result.stdout), *_output("stderr", result.stderr)]
    if result.stdout_kept_bytes > len(result.stdout_bytes or result.stdout.encode()):
        kept = f"{result.stdout_kept_bytes / 2**20:.1f} MiB"
        outputs.append(Text(f"\n{kept} of stdout are kept: taskandgo get {task.task_id} --output FILE", "dim"))
    Console().print(Panel(Group(facts, *outputs), title=Text(task.task_id), title_align="left"))


def _facts(task: api.TaskStatus) -> list[tuple[str, Text]]:
    facts = [("state", state_text(task.state)), ("priority", Text(task.priority)), ("language", Text(task.language))]
    facts += [("waited", Text(_waited(task))), ("ran", Text(_ran(task)))]
    if task.chunk_count > 1:
        facts.append(("chunks", Text(chunks_text(task))))
    if task.result.missing_chunks:
        missing = ", ".join(map(str, task.result.missing_chunks[:SHOWN_MISSING]))
        more = ", …" if task.chunks_failed > SHOWN_MISSING else ""
        facts.append(("missing", Text(f"{missing}{more}")))
    if not task.HasField("result"):
        return facts
    result, usage = task.result, task.result.usage
    if result.reason:
        facts += [("outcome", Text(outcome_word(result))), ("why", Text(printable(result.reason), "red"))]
    if result.HasField("exit_code"):
        facts.append(("exit code", Text(str(result.exit_code))))
    used = f"{usage.cpu_seconds:.2f} s CPU, {usage.peak_memory_bytes / 2**20:.0f} MiB, isolation {usage.isolation}"
    return [*facts, ("used", Text(used)), ("runner", Text(f"{result.runner}, attempt {result.attempt}"))]


def _output(name: str, text: str) -> list[Text]:
    return [Text(f"\n{name}", "dim"), Text(printable(text.rstrip("\n")))] if text else []


def _waited(task: api.TaskStatus) -> str:
    return f"{seconds_between(task.queued_at, task.started_at):.2f} s" if task.HasField("started_at") else ""


def _ran(task: api.TaskStatus | api.ChunkStatus) -> str:
    if not (task.HasField("started_at") and task.HasField("finished_at")):
        return ""
    return f"{seconds_between(task.started_at, task.finished_at):.2f} s"


def _wide_console() -> Console:
    console = Console()
    # In a pipe there is no width to fit into, and cut ids would be useless to the program that reads them.
    return console if console.is_terminal else Console(width=250)
