"""Accepting and cancelling tasks, and the outbox that tells of both; called by ingest."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import and_, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.records import Acceptance, Submission
from taskandgo.store.statements import Row, insert_new
from taskandgo.store.tables import chunk, outbox, task, task_label
from taskandgo.task import TaskSpec
from taskandgo.words import OPEN_STATES, ChunkState, Outcome, TaskState

SUBMITTED, CANCELLED = "task.submitted", "task.cancelled"

_spec_encoder = msgspec.msgpack.Encoder()
_spec_decoder = msgspec.msgpack.Decoder(TaskSpec)


def decode_spec(spec: bytes) -> TaskSpec:
    """The task as it was accepted."""
    return _spec_decoder.decode(spec)


async def accept_tasks(connection: AsyncConnection, submissions: Sequence[Submission]) -> list[Acceptance]:
    """Insert the tasks whose ids are new, with their labels and outbox rows; an answer for each submission."""
    # Sorted, so that two transactions lock common ids in one order.
    rows = [_task_row(item) for item in sorted(submissions, key=lambda item: item.task.task_id)]
    inserted = {key[0] for key in await insert_new(connection, task, rows)}
    new = {item.task.task_id: item for item in reversed(submissions) if item.task.task_id in inserted}
    await insert_new(connection, task_label, [row for item in new.values() for row in _label_rows(item.task)])
    await insert_new(
        connection, outbox, [_outbox_row(i.task.task_id, SUBMITTED, i.task.queued_at) for i in new.values()]
    )
    hashes = await _hashes(connection, {item.task.task_id for item in submissions})
    return [_acceptance(item, inserted, hashes) for item in submissions]


async def confirm_published(connection: AsyncConnection, rows: Sequence[tuple[str, str]]) -> list[None]:
    """Delete outbox rows, known by task id and kind."""
    await connection.execute(delete(outbox).where(tuple_(outbox.c.task_id, outbox.c.kind).in_(sorted(rows))))
    return [None for _ in rows]


async def unconfirmed(connection: AsyncConnection, kind: str, limit: int, older_than: datetime) -> list[TaskSpec]:
    """The oldest tasks whose announcement the broker has not confirmed."""
    statement = (
        select(task.c.spec)
        .join(outbox, outbox.c.task_id == task.c.task_id)
        .where(outbox.c.kind == kind, outbox.c.written_at < older_than)
        .order_by(outbox.c.written_at)
        .limit(limit)
    )
    return [decode_spec(spec) for spec in await connection.scalars(statement)]


async def cancel_task(connection: AsyncConnection, task_id: str, at: datetime) -> None:
    """Cancel the task and its unfinished chunks, unless it has finished."""
    cancelled = await connection.execute(
        update(task)
        .where(task.c.task_id == task_id, task.c.state.in_(OPEN_STATES))
        .values(state=TaskState.CANCELLED, outcome=Outcome.CANCELLED, finished_at=at)
        .returning(task.c.task_id)
    )
    if cancelled.first() is None:
        return
    await connection.execute(
        update(chunk)
        .where(and_(chunk.c.task_id == task_id, chunk.c.state != ChunkState.FINISHED))
        .values(state=ChunkState.FINISHED, outcome=Outcome.CANCELLED, finished_at=at, reason="the task was cancelled")
    )
    await insert_new(connection, outbox, [_outbox_row(task_id, CANCELLED, at)])


async def _hashes(connection: AsyncConnection, task_ids: set[str]) -> dict[str, bytes]:
    found = await connection.execute(select(task.c.task_id, task.c.content_hash).where(task.c.task_id.in_(task_ids)))
    return {row.task_id: row.content_hash for row in found}


def _acceptance(item: Submission, inserted: set[str], hashes: dict[str, bytes]) -> Acceptance:
    task_id = item.task.task_id
    if hashes[task_id] != item.content_hash:
        return Acceptance.OTHER
    if task_id in inserted:
        inserted.discard(task_id)
        return Acceptance.ACCEPTED
    return Acceptance.SAME


def _task_row(item: Submission) -> Row:
    spec = item.task
    return {
        "task_id": spec.task_id,
        "content_hash": item.content_hash,
        "spec": _spec_encoder.encode(spec),
        "priority": int(spec.priority),
        "language": spec.language,
        "strategy": spec.strategy,
        "pool": spec.pool,
        "labels": spec.labels,
        "state": TaskState.QUEUED,
        "queued_at": spec.queued_at,
        "chunk_count": 0,
        "chunks_succeeded": 0,
        "chunks_failed": 0,
    }


def _label_rows(spec: TaskSpec) -> list[Row]:
    return [{"key": key, "value": value, "task_id": spec.task_id} for key, value in spec.labels.items()]


def _outbox_row(task_id: str, kind: str, at: datetime) -> Row:
    return {"task_id": task_id, "kind": kind, "written_at": at}
