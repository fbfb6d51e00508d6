"""One plain answer about a task from its facts: the whole rule, as a table by where the task is."""

from itertools import chain

from taskandgo.explanation.ended import why_ended
from taskandgo.explanation.facts import Surroundings, TaskFacts
from taskandgo.explanation.reasons import Explanation, Reason, ReasonCode
from taskandgo.explanation.running import what_went_before, where_running
from taskandgo.explanation.waiting import position, why_chunks_wait, why_waiting
from taskandgo.words import TaskState


def explain(task: TaskFacts, around: Surroundings) -> Explanation:
    """Why the task waits, where it runs, or how it ended."""
    reasons = tuple(_ended(task) if task.state.final else _open(task, around))
    place, is_least = position(task)
    return Explanation(task.task_id, task.state, f"{_where(task)}: {reasons[0].text}", reasons, place, is_least)


def not_accepted(task_id: str, text: str) -> Explanation:
    """A task that ingest holds back, since too many are queued."""
    todo = "wait, or ask whoever runs the server for more: INGEST_MAX_QUEUED, INGEST_MAX_QUEUED_PER_TENANT"
    reason = Reason(ReasonCode.ADMISSION, f"it is not accepted yet: {text}", todo)
    return Explanation(task_id, None, f"Waiting: {reason.text}", (reason,))


def _where(task: TaskFacts) -> str:
    if task.state.final:
        return task.state.value.capitalize()
    place, is_least = position(task)
    if task.running:
        return "Running"
    least = "at least " if is_least else ""
    return f"Waiting, {least}number {place:,} in the queue of pool {task.pool!r}" if place else "Waiting"


def _ended(task: TaskFacts) -> list[Reason]:
    before = () if task.state is TaskState.FAILED else what_went_before(task)
    return [*why_ended(task), *before]


def _open(task: TaskFacts, around: Surroundings) -> list[Reason]:
    running = where_running(task, around)
    found = list(chain(running, why_waiting(task, around), why_chunks_wait(task), what_went_before(task)))
    # Between two steps of a dispatcher there may be nothing that holds it.
    return found or [Reason(ReasonCode.DISPATCH, "a dispatcher is about to go on with it")]
