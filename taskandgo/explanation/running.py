"""Where a task runs, since when, and whether its runners are still heard."""

from collections.abc import Iterator

from taskandgo.explanation.facts import RunningAttempt, Surroundings, TaskFacts
from taskandgo.explanation.phrases import between, counted, duration
from taskandgo.explanation.reasons import Reason, ReasonCode


def where_running(task: TaskFacts, around: Surroundings) -> Iterator[Reason]:
    """What is known of the attempts that run; nothing if none does."""
    if not task.running:
        return
    oldest = task.running[0]
    yield Reason(ReasonCode.RUNNING, _many(task, oldest, around) if task.many else _one(oldest, around))
    for attempt in task.running:
        if silent := _silent(attempt, task, around):
            yield silent
            return


def what_went_before(task: TaskFacts) -> Iterator[Reason]:
    """Attempts that were lost or failed, and are made good by others."""
    if task.lost_count:
        whose = "its runner" if task.lost_count == 1 else "their runners"
        text = f"{counted(task.lost_count, 'attempt')} before died with {whose}"
        yield Reason(ReasonCode.LOST_BEFORE, text, "look at that runner's log and memory if this goes on")
    if task.failed_count:
        yield Reason(ReasonCode.FAILED_BEFORE, f"{counted(task.failed_count, 'attempt')} before ended badly")


def _one(attempt: RunningAttempt, around: Surroundings) -> str:
    text = f"attempt {attempt.attempt} runs on {attempt.runner}"
    if attempt.started_at:
        text += f" for {between(attempt.started_at, around.now)}"
    return f"{text}; a second attempt was started beside it" if attempt.duplicate else text


def _many(task: TaskFacts, oldest: RunningAttempt, around: Surroundings) -> str:
    failed = f", {task.chunks_failed:,} of them badly" if task.chunks_failed else ""
    done = f"{task.chunks_ended:,} of {task.chunk_count:,} chunks have ended{failed}"
    if oldest.chunk_index >= task.chunk_count:
        return f"{done}; the reduce: {_one(oldest, around)}"
    return f"{done}, {task.chunks_running:,} run; the longest is chunk {oldest.chunk_index}: {_one(oldest, around)}"


def _silent(attempt: RunningAttempt, task: TaskFacts, around: Surroundings) -> Reason | None:
    runner = around.runner(attempt.runner)
    if not (runner.is_silent(around.now) if runner else around.has_heard_all):
        return None
    seconds = runner.silent_seconds(around.now) if runner else around.heard_seconds
    which = (
        f"runner {attempt.runner}, which has chunk {attempt.chunk_index},"
        if task.many
        else f"its runner {attempt.runner}"
    )
    todo = "if that runner is dead, the chunk is run again elsewhere by itself as soon as the broker notices"
    return Reason(ReasonCode.RUNNER_SILENT, f"{which} has not been heard for {duration(seconds)}", todo)
