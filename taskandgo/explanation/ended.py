"""How a finished task ended, and what could make it end better."""

from collections.abc import Callable, Iterator

from taskandgo.explanation.facts import EndedAttempt, TaskFacts
from taskandgo.explanation.phrases import between, counted, duration, indexes, instant, size
from taskandgo.explanation.reasons import Reason, ReasonCode
from taskandgo.printable import printable
from taskandgo.words import Outcome, TaskState

#: How much of what a compiler or a program wrote is quoted.
QUOTED_LINES, QUOTED_LETTERS = 6, 600


def why_ended(task: TaskFacts) -> Iterator[Reason]:
    """The reasons; at least one."""
    if task.state is TaskState.SUCCEEDED:
        yield _succeeded(task)
    elif task.state is TaskState.CANCELLED:
        yield _cancelled(task)
    elif task.state is TaskState.EXPIRED:
        yield _expired(task)
    else:
        yield from _failed(task)


def _succeeded(task: TaskFacts) -> Reason:
    said = []
    if task.started_at and task.finished_at:
        said += [
            f"ran {between(task.started_at, task.finished_at)}",
            f"waited {between(task.queued_at, task.started_at)}",
        ]
    if task.many:
        said.append(f"{task.chunks_succeeded:,} of {task.chunk_count:,} chunks succeeded")
    elif task.ended:
        said.append(f"attempt {task.ended.attempt} on {task.ended.runner}")
    return Reason(ReasonCode.SUCCEEDED, ", ".join(said) or "it did what was asked", f"taskandgo get {task.task_id}")


def _cancelled(task: TaskFacts) -> Reason:
    at = f" at {instant(task.finished_at)}" if task.finished_at else ""
    how_far = "before it had started"
    if task.started_at and task.finished_at:
        how_far = f"after it had run for {between(task.started_at, task.finished_at)}"
    chunks = f", {task.chunks_succeeded:,} of {task.chunk_count:,} chunks done" if task.many else ""
    return Reason(ReasonCode.CANCELLED, f"a client cancelled it{at}, {how_far}{chunks}", _again(task))


def _expired(task: TaskFacts) -> Reason:
    by = f" by its deadline, {instant(task.deadline)}" if task.deadline else " in time"
    waited = f"; it was accepted {between(task.queued_at, task.deadline)} before" if task.deadline else ""
    todo = f"give it a later --deadline, a higher --priority or more runners; to run it after all: {_again(task)}"
    return Reason(ReasonCode.EXPIRED, f"it had not started{by}{waited}", todo)


def _failed(task: TaskFacts) -> Iterator[Reason]:
    ended = task.ended
    if ended and task.reduces and ended.chunk_index >= task.chunk_count:
        yield Reason(ReasonCode.REDUCE_FAILED, "its chunks succeeded, but its reduce did not")
    elif task.many:
        yield _missing(task)
    if ended:
        code, say, todo = HOW[ended.result.outcome]
        chunk = f"chunk {ended.chunk_index}: " if task.many and ended.chunk_index < task.chunk_count else ""
        text = f"{chunk}{say(task, ended)}"
        yield Reason(code, text, todo.format(task=task.task_id))
    if task.failed_count:
        allowed = counted(task.max_attempts, "attempt")
        text = f"it had failed {counted(task.failed_count, 'time')} before; {allowed} in all were allowed"
        yield Reason(ReasonCode.FAILED_BEFORE, text)


def _missing(task: TaskFacts) -> Reason:
    wanted = min(task.min_succeeded or task.chunk_count, task.chunk_count)
    needed = "all had to" if wanted == task.chunk_count else f"{wanted:,} had to"
    which = indexes(task.missing_chunks, task.chunks_failed)
    text = f"{task.chunks_failed:,} of {task.chunk_count:,} chunks did not succeed ({which}); {needed}"
    shown = f"taskandgo chunks {task.task_id} shows which and why"
    todo = f"{shown}; taskandgo retry {task.task_id} runs only those again"
    return Reason(ReasonCode.CHUNKS_MISSING, text, todo)


def _again(task: TaskFacts) -> str:
    return f"taskandgo retry {task.task_id} runs it again"


def _on(ended: EndedAttempt) -> str:
    return f" on {ended.runner}" if ended.runner else ""


def _plain(task: TaskFacts, ended: EndedAttempt) -> str:
    del task
    return f"{ended.result.reason or ended.result.outcome}{_on(ended)}"


def _exit_code(task: TaskFacts, ended: EndedAttempt) -> str:
    last = _quoted(ended.stderr_end, from_end=True)
    return f"{_plain(task, ended)}; it wrote last:\n{last}" if last else _plain(task, ended)


def _compiler(task: TaskFacts, ended: EndedAttempt) -> str:
    del task
    said = _quoted(ended.result.stderr.decode(errors="replace"), from_end=False)
    return f"{ended.result.reason}:\n{said}" if said else ended.result.reason


def _time(task: TaskFacts, ended: EndedAttempt) -> str:
    usage, limits = ended.result.usage, task.limits
    used = f"used {duration(usage.wall_seconds)} of time and {duration(usage.cpu_seconds)} of CPU"
    return f"{_plain(task, ended)}; {used}; {_asked(limits.timeout_seconds, duration)}"


def _memory(task: TaskFacts, ended: EndedAttempt) -> str:
    peak = ended.result.usage.peak_memory_bytes
    used = f"; had {size(peak)} at its peak" if peak else ""
    return f"{_plain(task, ended)}{used}; {_asked(task.limits.memory_bytes, size)}"


def _output(task: TaskFacts, ended: EndedAttempt) -> str:
    wrote = size(ended.result.usage.output_bytes)
    return f"{_plain(task, ended)}; wrote {wrote}; {_asked(task.limits.output_bytes, size)}"


def _asked(limit: float | None, say: Callable[[float], str]) -> str:
    return (
        f"the task asked for {say(limit)}" if limit else "the task asked for no limit, so the runner's default counts"
    )


def _quoted(text: str, *, from_end: bool) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    chosen = lines[-1:] if from_end else lines[:QUOTED_LINES]
    return "\n".join(f"    {printable(line[:QUOTED_LETTERS])}" for line in chosen)


#: For each outcome that is not success: its code, how it is told, and what to do about it.
HOW: dict[Outcome, tuple[ReasonCode, Callable[[TaskFacts, EndedAttempt], str], str]] = {
    Outcome.FAILED: (ReasonCode.EXIT_CODE, _exit_code, "taskandgo get {task} shows all it wrote"),
    Outcome.COMPILE_FAILED: (ReasonCode.COMPILE_FAILED, _compiler, "mend the code and submit it under another id"),
    Outcome.TIMED_OUT: (
        ReasonCode.TIMED_OUT,
        _time,
        "ask for more with --timeout or --cpu, or cut the work with --chunks",
    ),
    Outcome.OUT_OF_MEMORY: (
        ReasonCode.OUT_OF_MEMORY,
        _memory,
        "ask for more with --memory, up to RUNNER_MAX_MEMORY_BYTES; or with --retry, each time with double the memory",
    ),
    Outcome.OUTPUT_LIMIT: (ReasonCode.OUTPUT_LIMIT, _output, "write less, or ask for more with --output"),
    Outcome.KILLED: (
        ReasonCode.KILLED,
        _exit_code,
        "a signal that its own code raised, or a crash in a library; taskandgo get {task} shows what it wrote",
    ),
    Outcome.LOST: (
        ReasonCode.RUNNERS_LOST,
        _plain,
        "it may bring its runner down: look at the runners' logs before taskandgo retry {task}",
    ),
    Outcome.SANDBOX_ERROR: (
        ReasonCode.SANDBOX_ERROR,
        _plain,
        "not the code's fault: mend its runner, taskandgo doctor there may say how; then taskandgo retry {task}",
    ),
    Outcome.CANCELLED: (ReasonCode.CANCELLED, _plain, "taskandgo retry {task} runs it again"),
}
