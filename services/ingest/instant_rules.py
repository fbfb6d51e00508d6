"""When a task may start: `not_before` and `deadline`, turned into instants, or what is wrong with them. Pure.

A `not_before` that has passed is no different from none; one more than a year ahead is taken for a mistake.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import Violation

#: A task that waits takes a place among those that may be queued.
LONGEST_WAIT = timedelta(days=366)


def instant_violations(task: api.Task, now: datetime) -> Iterator[Violation]:
    """Everything that is wrong with the task's instants."""
    unreadable = [name for name in ("not_before", "deadline") if task.HasField(name) and _unreadable(task, name)]
    yield from (Violation(f"task.{name}", "is no instant from year 1 to 9999") for name in unreadable)
    if unreadable:
        return
    start, end = not_before_of(task, now), deadline_of(task)
    if start and start - now > LONGEST_WAIT:
        allowed = f"at most {LONGEST_WAIT.days} days from now are allowed"
        yield Violation("task.not_before", f"is {_shown(start)}; {allowed}")
    if end and end <= now:
        yield Violation("task.deadline", f"is {_shown(end)}, which has passed; it is {_shown(now)} here")
    elif end and start and end <= start:
        yield Violation("task.deadline", f"is {_shown(end)}; it must be after not_before, {_shown(start)}")


def not_before_of(task: api.Task, now: datetime) -> datetime | None:
    """The instant before which the task does not start; None if it may start now."""
    start = instant(task.not_before) if task.HasField("not_before") else None
    return start if start and start > now else None


def deadline_of(task: api.Task) -> datetime | None:
    """The instant by which it must have started; None if there is none."""
    return instant(task.deadline) if task.HasField("deadline") else None


def instant(stamp: Timestamp) -> datetime:
    """The instant as the product has it: aware, in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def _unreadable(task: api.Task, name: str) -> bool:
    try:
        instant(getattr(task, name))
    except (ValueError, OverflowError):
        return True
    return False


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
