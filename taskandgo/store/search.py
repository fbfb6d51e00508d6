"""Searching tasks for people: the newest first, looking through so many at a time, however many there are.

Promises: a search reads a bounded number of rows; where it stopped is told, so that it can be taken up from there.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.locks import OPEN, TASK_COLUMNS
from taskandgo.store.records import TaskRecord
from taskandgo.store.rows import task_record
from taskandgo.store.tables import IS_OPEN, task, task_label
from taskandgo.task import Value
from taskandgo.words import Priority, TaskState

LOOKED_THROUGH = 10_000
MOST_RUNNING = 1000
NEWEST_FIRST = (task.c.queued_at.desc(), task.c.task_id.desc())


class TaskSearch(Value, frozen=True):
    """What a person looks for: `text` is an id, a part of one, or a label as key=value; `after` as in TaskFilter."""

    states: Sequence[TaskState] = ()
    priority: Priority | None = None
    text: str = ""
    page_size: int = 50
    after: tuple[datetime, str] | None = None


class FoundTasks(Value, frozen=True):
    """What was found, the newest first; `next` is where to go on, None at the end of all tasks.

    `searched`: it is not a full page, but as many tasks were looked through as one search may.
    """

    tasks: Sequence[TaskRecord]
    next: tuple[datetime, str] | None = None
    searched: bool = False


async def search_tasks(connection: AsyncConnection, wanted: TaskSearch) -> FoundTasks:
    """The next tasks that are as wanted, the one of exactly that id before all others."""
    exact = await _exact(connection, wanted)
    if not _narrows(wanted):
        found = await _rows(connection, _newest(wanted).limit(wanted.page_size))
        return FoundTasks(tasks=found, next=_place(found[-1]) if len(found) == wanted.page_size else None)
    window = _newest(wanted).limit(LOOKED_THROUGH).subquery()
    conditions = _conditions(window.c, wanted)
    order = (window.c.queued_at.desc(), window.c.task_id.desc())
    found = await _rows(connection, select(window).where(*conditions).order_by(*order).limit(wanted.page_size))
    full = len(found) == wanted.page_size
    place = _place(found[-1]) if full else await _end_of_window(connection, wanted)
    return FoundTasks(tasks=[*exact, *(one for one in found if one not in exact)], next=place, searched=not full)


async def running_tasks(connection: AsyncConnection) -> list[TaskRecord]:
    """Tasks that run, those first that were accepted first."""
    # The first condition is for the index, so that finished tasks cost nothing.
    running = select(*TASK_COLUMNS).where(IS_OPEN, task.c.state == TaskState.RUNNING.value)
    return await _rows(connection, running.order_by(task.c.queued_at).limit(MOST_RUNNING))


async def still_open(connection: AsyncConnection, task_ids: Sequence[str]) -> set[str]:
    """Which of these tasks have not ended."""
    conditions = (task.c.task_id.in_(task_ids), task.c.state.in_(OPEN))
    return set(await connection.scalars(select(task.c.task_id).where(*conditions)))


async def task_row(connection: AsyncConnection, task_id: str) -> TaskRecord | None:
    """The task without its result."""
    found = await _rows(connection, select(*TASK_COLUMNS).where(task.c.task_id == task_id))
    return found[0] if found else None


def _narrows(wanted: TaskSearch) -> bool:
    return bool(wanted.states or wanted.text) or wanted.priority is not None


def _newest(wanted: TaskSearch) -> Select[Any]:
    statement = select(*TASK_COLUMNS).order_by(*NEWEST_FIRST)
    if wanted.after is None:
        return statement
    at, task_id = wanted.after
    return statement.where(or_(task.c.queued_at < at, and_(task.c.queued_at == at, task.c.task_id < task_id)))


def _conditions(columns: Any, wanted: TaskSearch) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.states:
        conditions.append(columns.state.in_([state.value for state in wanted.states]))
    if wanted.priority is not None:
        conditions.append(columns.priority == int(wanted.priority))
    key, equals, value = wanted.text.partition("=")
    if equals:
        same = (task_label.c.task_id == columns.task_id, task_label.c.key == key, task_label.c.value == value)
        conditions.append(exists().where(*same))
    elif wanted.text:
        conditions.append(columns.task_id.icontains(wanted.text, autoescape=True))
    return conditions


async def _exact(connection: AsyncConnection, wanted: TaskSearch) -> list[TaskRecord]:
    if not wanted.text or wanted.after is not None:
        return []
    conditions = _conditions(task.c, TaskSearch(states=wanted.states, priority=wanted.priority))
    return await _rows(connection, select(*TASK_COLUMNS).where(task.c.task_id == wanted.text, *conditions))


async def _end_of_window(connection: AsyncConnection, wanted: TaskSearch) -> Any:
    last = await connection.execute(_newest(wanted).offset(LOOKED_THROUGH - 1).limit(1))
    row: Row[Any] | None = last.one_or_none()
    return (row.queued_at, row.task_id) if row else None


async def _rows(connection: AsyncConnection, statement: Select[Any]) -> list[TaskRecord]:
    return [task_record(row) for row in await connection.execute(statement)]


def _place(record: TaskRecord) -> Any:
    return record.queued_at, record.task_id
