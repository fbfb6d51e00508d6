"""Reading tasks: one whole, many without output, what is unfinished and what waits."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, and_, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.accept import decode_spec
from taskandgo.store.records import FinishedTask, OpenChunk, TaskFilter, TaskRecord, UnfinishedTask, Waiting
from taskandgo.store.tables import chunk, task, task_label
from taskandgo.task import AttemptResult, Usage
from taskandgo.words import OPEN_STATES, ChunkState, Outcome, Priority, Strategy, TaskState

SHOWN = [column for column in task.c if column.name not in {"spec", "content_hash"}]


async def finished_tasks(connection: AsyncConnection, task_ids: Iterable[str]) -> dict[str, FinishedTask]:
    """Those of the tasks that are in a final state."""
    found = await connection.execute(
        select(*SHOWN).where(task.c.task_id.in_(set(task_ids)), task.c.state.not_in(OPEN_STATES))
    )
    return {row.task_id: _finished(row) for row in found}


async def get_task(connection: AsyncConnection, task_id: str) -> TaskRecord | None:
    """The task with its result, if there is one."""
    row = (await connection.execute(select(*SHOWN).where(task.c.task_id == task_id))).first()
    if row is None:
        return None
    if TaskState(row.state) in OPEN_STATES:
        return _record(row, None)
    chunks = await connection.execute(
        select(chunk).where(chunk.c.task_id == task_id, chunk.c.outcome.is_not(None)).order_by(chunk.c.chunk_index)
    )
    return _record(row, chunks.all())


async def list_tasks(connection: AsyncConnection, wanted: TaskFilter) -> list[TaskRecord]:
    """The tasks the filter wants, the newest first, without output."""
    statement = select(*SHOWN).order_by(task.c.queued_at.desc(), task.c.task_id.desc()).limit(wanted.page_size)
    if wanted.states:
        statement = statement.where(task.c.state.in_(wanted.states))
    if wanted.priority is not None:
        statement = statement.where(task.c.priority == int(wanted.priority))
    if wanted.queued_after:
        statement = statement.where(task.c.queued_at >= wanted.queued_after)
    if wanted.queued_before:
        statement = statement.where(task.c.queued_at < wanted.queued_before)
    if wanted.after:
        statement = statement.where(tuple_(task.c.queued_at, task.c.task_id) < tuple_(*wanted.after))
    for key, value in wanted.labels.items():
        carries = select(task_label.c.task_id).where(and_(task_label.c.key == key, task_label.c.value == value))
        statement = statement.where(task.c.task_id.in_(carries))
    return [_record(row, None) for row in await connection.execute(statement)]


async def unfinished(connection: AsyncConnection, after_task_id: str, limit: int) -> list[UnfinishedTask]:
    """Tasks that are open, by id, with their open chunks."""
    rows = (
        await connection.execute(
            select(task.c.task_id, task.c.spec, task.c.chunk_count)
            .where(task.c.state.in_(OPEN_STATES), task.c.task_id > after_task_id)
            .order_by(task.c.task_id)
            .limit(limit)
        )
    ).all()
    chunks = (
        await connection.execute(
            select(chunk.c.task_id, chunk.c.chunk_index, chunk.c.attempt, chunk.c.state)
            .where(chunk.c.task_id.in_([row.task_id for row in rows]), chunk.c.state != ChunkState.FINISHED)
            .order_by(chunk.c.chunk_index)
        )
    ).all()
    return [_unfinished(row, [one for one in chunks if one.task_id == row.task_id]) for row in rows]


async def waiting(connection: AsyncConnection) -> list[Waiting]:
    """How many tasks are queued, by priority."""
    found = await connection.execute(
        select(task.c.priority, func.count().label("tasks"), func.min(task.c.queued_at).label("oldest"))
        .where(task.c.state == TaskState.QUEUED)
        .group_by(task.c.priority)
    )
    return [Waiting(priority=Priority(r.priority), count=r.tasks, oldest_queued_at=r.oldest) for r in found]


async def count_by_state(connection: AsyncConnection) -> dict[TaskState, int]:
    """How many tasks are in each state."""
    found = await connection.execute(select(task.c.state, func.count().label("tasks")).group_by(task.c.state))
    return {TaskState(row.state): row.tasks for row in found}


def _finished(row: Row[Any]) -> FinishedTask:
    return FinishedTask(
        task_id=row.task_id,
        state=TaskState(row.state),
        outcome=Outcome(row.outcome) if row.outcome else None,
        priority=Priority(row.priority),
        language=row.language,
        strategy=Strategy(row.strategy),
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _record(row: Row[Any], chunks: Sequence[Row[Any]] | None) -> TaskRecord:
    result = _result(chunks) if chunks else AttemptResult(outcome=Outcome(row.outcome)) if row.outcome else None
    return TaskRecord(
        task_id=row.task_id,
        state=TaskState(row.state),
        priority=Priority(row.priority),
        language=row.language,
        strategy=Strategy(row.strategy),
        pool=row.pool,
        labels=row.labels,
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        chunk_count=row.chunk_count,
        chunks_succeeded=row.chunks_succeeded,
        chunks_failed=row.chunks_failed,
        result=result,
        attempt=chunks[0].attempt if chunks else 0,
        runner=chunks[0].runner if chunks else "",
    )


def _result(chunks: Sequence[Row[Any]]) -> AttemptResult:
    """The first chunk's result; with several chunks, the first that did not succeed, and all output in order."""
    telling = next((one for one in chunks if one.outcome != Outcome.SUCCEEDED), chunks[0])
    return AttemptResult(
        outcome=Outcome(telling.outcome),
        exit_code=telling.exit_code,
        stdout=b"".join(one.stdout or b"" for one in chunks),
        stderr=b"".join(one.stderr or b"" for one in chunks),
        stdout_truncated=any(one.stdout_truncated for one in chunks),
        stderr_truncated=any(one.stderr_truncated for one in chunks),
        reason=telling.reason or "",
        usage=Usage(
            wall_seconds=max(one.wall_seconds or 0.0 for one in chunks),
            cpu_seconds=sum(one.cpu_seconds or 0.0 for one in chunks),
            compile_seconds=sum(one.compile_seconds or 0.0 for one in chunks),
            peak_memory_bytes=max(one.peak_memory_bytes or 0 for one in chunks),
            output_bytes=sum(one.output_bytes or 0 for one in chunks),
            isolation=telling.isolation or "",
        ),
    )


def _unfinished(row: Row[Any], chunks: Sequence[Row[Any]]) -> UnfinishedTask:
    return UnfinishedTask(
        task=decode_spec(row.spec),
        chunks=[
            OpenChunk(chunk_index=one.chunk_index, chunk_count=row.chunk_count, attempt=one.attempt) for one in chunks
        ],
        running=frozenset(one.chunk_index for one in chunks if one.state == ChunkState.RUNNING),
    )
