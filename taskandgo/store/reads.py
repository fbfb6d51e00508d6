"""What ingest, the dispatcher and the monitor ask the store; nothing here changes anything."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, and_, bindparam, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.gathered import with_result
from taskandgo.store.locks import OPEN, TASK_COLUMNS
from taskandgo.store.progress import open_chunk
from taskandgo.store.records import FinishedTask, TaskFilter, TaskRecord, UnfinishedTask, Waiting
from taskandgo.store.rows import finished_task, task_record
from taskandgo.store.tables import IS_OPEN, chunk, task, task_label, timer
from taskandgo.task import TaskSpec
from taskandgo.words import ChunkState, Priority, TaskState, TimerKind

#: The label that says on whose behalf a task is.
TENANT = "tenant"

TASK = select(*TASK_COLUMNS).where(task.c.task_id == bindparam("of_task"))


async def get_task(connection: AsyncConnection, task_id: str) -> TaskRecord | None:
    """The task, with its result if it is final; None if unknown."""
    row = await _row(connection, task_id)
    if row is None or row.state in OPEN:
        return task_record(row) if row else None
    return await with_result(connection, row)


async def load_spec(connection: AsyncConnection, task_id: str) -> TaskSpec | None:
    """The task as it was accepted; None if unknown."""
    spec = await connection.scalar(select(task.c.spec).where(task.c.task_id == task_id))
    return None if spec is None else msgspec.msgpack.decode(spec, type=TaskSpec)


async def load_specs(connection: AsyncConnection, task_ids: Collection[str]) -> dict[str, TaskSpec]:
    """The tasks as they were accepted, by id; unknown ones are left out."""
    rows = await connection.execute(select(task.c.task_id, task.c.spec).where(task.c.task_id.in_(list(task_ids))))
    return {task_id: msgspec.msgpack.decode(spec, type=TaskSpec) for task_id, spec in rows}


async def is_running(connection: AsyncConnection, task_id: str, chunk_index: int, attempt: int) -> bool:
    """Whether this attempt has begun, and its result would count."""
    running = chunk.c.state == ChunkState.RUNNING.value, or_(chunk.c.attempt == attempt, chunk.c.duplicate == attempt)
    this = chunk.c.task_id == task_id, chunk.c.chunk_index == chunk_index
    return bool(await connection.scalar(select(exists().where(*this, *running))))


async def summary(connection: AsyncConnection, task_id: str) -> FinishedTask | None:
    """The task as it is announced; None if it is not final."""
    row = await _row(connection, task_id)
    return None if row is None or row.state in OPEN else finished_task(row)


async def _row(connection: AsyncConnection, task_id: str) -> Row[Any] | None:
    return (await connection.execute(TASK, {"of_task": task_id})).one_or_none()


async def list_tasks(connection: AsyncConnection, wanted: TaskFilter) -> list[TaskRecord]:
    """The tasks that pass the filter, the newest first."""
    newest_first = (task.c.queued_at.desc(), task.c.task_id.desc())
    statement = select(*TASK_COLUMNS).where(*_conditions(wanted)).order_by(*newest_first).limit(wanted.page_size)
    return [task_record(row) for row in await connection.execute(statement)]


def _conditions(wanted: TaskFilter) -> list[ColumnElement[bool]]:
    conditions = [_labelled(key, value) for key, value in wanted.labels.items()]
    if wanted.states:
        conditions.append(task.c.state.in_([state.value for state in wanted.states]))
    if wanted.priority is not None:
        conditions.append(task.c.priority == int(wanted.priority))
    if wanted.queued_after is not None:
        conditions.append(task.c.queued_at >= wanted.queued_after)
    if wanted.queued_before is not None:
        conditions.append(task.c.queued_at < wanted.queued_before)
    if wanted.after is not None:
        at, task_id = wanted.after
        conditions.append(or_(task.c.queued_at < at, and_(task.c.queued_at == at, task.c.task_id < task_id)))
    return conditions


def _labelled(key: str, value: str) -> ColumnElement[bool]:
    return exists().where(task_label.c.task_id == task.c.task_id, task_label.c.key == key, task_label.c.value == value)


async def unfinished(connection: AsyncConnection, after_task_id: str, limit: int) -> list[UnfinishedTask]:
    """The next tasks that have not finished, in the order of their ids."""
    columns = (task.c.task_id, task.c.spec, task.c.chunk_count)
    statement = select(*columns).where(task.c.state.in_(OPEN), task.c.task_id > after_task_id)
    tasks = (await connection.execute(statement.order_by(task.c.task_id).limit(limit))).all()
    chunks = defaultdict(list)
    for row in await _in_flight(connection, [row.task_id for row in tasks]):
        chunks[row.task_id].append(row)
    return [_unfinished_task(row, chunks[row.task_id]) for row in tasks]


async def _in_flight(connection: AsyncConnection, task_ids: list[str]) -> list[Row[Any]]:
    columns = (chunk.c.task_id, chunk.c.chunk_index, chunk.c.attempt, chunk.c.duplicate, chunk.c.state)
    in_flight = chunk.c.state.in_([ChunkState.READY.value, ChunkState.RUNNING.value])
    statement = select(*columns, chunk.c.out_of_memory_count).where(chunk.c.task_id.in_(task_ids), in_flight)
    return [*await connection.execute(statement.order_by(chunk.c.task_id, chunk.c.chunk_index))]


def _unfinished_task(row: Row[str, bytes, int], chunks: list[Row[Any]]) -> UnfinishedTask:
    running = [c for c in chunks if c.state == ChunkState.RUNNING.value]
    first = [open_chunk(c, row.chunk_count) for c in running]
    second = [
        msgspec.structs.replace(open_chunk(c, row.chunk_count), attempt=c.duplicate) for c in running if c.duplicate
    ]
    return UnfinishedTask(
        task=msgspec.msgpack.decode(row.spec, type=TaskSpec),
        ready=[open_chunk(c, row.chunk_count) for c in chunks if c.state == ChunkState.READY.value],
        running=[*second, *first],
    )


async def waiting(connection: AsyncConnection) -> list[Waiting]:
    """The open tasks whose start is due, counted by priority and pool, the most urgent first."""
    queued, running = (task.c.state == state.value for state in (TaskState.QUEUED, TaskState.RUNNING))
    columns = (
        func.count(case((queued, 1))),
        func.min(case((queued, task.c.queued_at))),
        func.count(case((running, 1))),
    )
    later = select(timer.c.task_id).where(timer.c.kind == TimerKind.START.value)
    # Said in the index's own words, so that finished tasks cost nothing.
    due = (IS_OPEN, task.c.task_id.not_in(later))
    statement = select(task.c.priority, task.c.pool, *columns).where(*due).group_by(task.c.priority, task.c.pool)
    rows = await connection.execute(statement.order_by(task.c.priority.desc()))
    return [
        Waiting(priority=Priority(priority), pool=pool, count=count, oldest_queued_at=oldest, running=running)
        for priority, pool, count, oldest, running in rows
    ]


async def count_queued(connection: AsyncConnection) -> tuple[int, dict[str, int]]:
    """How many tasks are queued, and how many of each tenant (the label of that name)."""
    # The first condition is for the index, so that finished tasks cost nothing.
    queued = and_(IS_OPEN, task.c.state == TaskState.QUEUED.value)
    total = await connection.scalar(select(func.count()).where(queued)) or 0
    same = (task_label.c.task_id == task.c.task_id) & (task_label.c.key == TENANT)
    statement = select(task_label.c.value, func.count()).select_from(task).join(task_label, same)
    rows = await connection.execute(statement.where(queued).group_by(task_label.c.value))
    return total, {row[0]: row[1] for row in rows}


async def count_by_state(connection: AsyncConnection) -> dict[TaskState, int]:
    """How many tasks are in each state; states without any are left out."""
    rows = await connection.execute(select(task.c.state, func.count()).group_by(task.c.state))
    return {TaskState(state): count for state, count in rows}


async def ping(connection: AsyncConnection) -> None:
    """Ask for nothing but an answer."""
    await connection.execute(select(1))
