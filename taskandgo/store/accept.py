"""Accepting tasks: the task, its labels and its outbox row in one transaction; called by ingest.

Promises: an id is accepted once; every later submission of it hears whether its content is the same. A task whose
input is a blob is accepted only if that blob is there, and then has it for as long as it is there itself.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from taskandgo.store import blobs
from taskandgo.store.database import insert_new
from taskandgo.store.records import WHOLE_TASK, Acceptance, Submission, Timer
from taskandgo.store.tables import outbox, task, task_label
from taskandgo.store.timers import set_timers
from taskandgo.task import TaskSpec
from taskandgo.words import TaskState, TimerKind

SUBMITTED = "task.submitted"
ANNOUNCE = insert(outbox)
LABEL = insert(task_label)


async def accept(connection: AsyncConnection, submissions: Sequence[Submission]) -> list[Acceptance]:
    """What became of each submission, in their order; ids may come more than once."""
    there = await _touch_blobs(connection, submissions)
    first: dict[str, Submission] = {}
    for submission in submissions:
        if _has_input(submission, there):
            first.setdefault(submission.task.task_id, submission)
    new = await _insert(connection, first)
    await _use_blobs(connection, [first[task_id].task for task_id in sorted(new)], there)
    known = await _hashes(connection, first.keys() - new)
    known |= {task_id: first[task_id].content_hash for task_id in new}
    return [
        _acceptance(submission, new, known) if _has_input(submission, there) else Acceptance.NO_BLOB
        for submission in submissions
    ]


async def _touch_blobs(connection: AsyncConnection, submissions: Sequence[Submission]) -> dict[str, str]:
    wanted = {found.sha256 for one in submissions if (found := one.task.blob)}
    at = max((one.task.queued_at for one in submissions), default=None)
    return await blobs.touch(connection, wanted, at) if wanted and at else {}


def _has_input(submission: Submission, there: dict[str, str]) -> bool:
    wanted = submission.task.blob
    return wanted is None or wanted.sha256 in there


async def _use_blobs(connection: AsyncConnection, specs: Sequence[TaskSpec], there: dict[str, str]) -> None:
    await blobs.use(connection, [(spec.task_id, there[spec.blob.sha256]) for spec in specs if spec.blob])


@cache
def _insert_tasks(dialect: str) -> ReturningInsert[tuple[str]]:
    return insert_new(dialect, task).returning(task.c.task_id)


def _acceptance(submission: Submission, new: set[str], known: dict[str, bytes]) -> Acceptance:
    task_id = submission.task.task_id
    if task_id in new:
        # The first one with this id is the one that was inserted.
        new.remove(task_id)
        return Acceptance.ACCEPTED
    return Acceptance.SAME if known[task_id] == submission.content_hash else Acceptance.OTHER


async def _insert(connection: AsyncConnection, first: dict[str, Submission]) -> set[str]:
    if not first:
        return set()
    # In the order of their keys, so that two transactions never wait for each other in a circle.
    rows = [_row(first[task_id]) for task_id in sorted(first)]
    inserted = await connection.execute(_insert_tasks(connection.dialect.name), rows)
    new = {str(row.task_id) for row in inserted}
    specs = [first[task_id].task for task_id in sorted(new)]
    if specs:
        written = [{"task_id": s.task_id, "kind": SUBMITTED, "written_at": s.queued_at} for s in specs]
        await connection.execute(ANNOUNCE, written)
    labels = [{"task_id": s.task_id, "key": key, "value": value} for s in specs for key, value in s.labels.items()]
    if labels:
        await connection.execute(LABEL, labels)
    await set_own_timers(connection, specs)
    return new


async def set_own_timers(connection: AsyncConnection, specs: Sequence[TaskSpec], after: datetime | None = None) -> None:
    """Set the timers that tasks ask for, as far as they are due after an instant."""
    timers = [
        Timer(task_id=spec.task_id, kind=kind, chunk_index=WHOLE_TASK, due_at=due_at)
        for spec in specs
        for kind, due_at in ((TimerKind.START, spec.not_before), (TimerKind.EXPIRE, spec.deadline))
        if due_at and (after is None or due_at > after)
    ]
    if timers:
        await set_timers(connection, timers)


async def _hashes(connection: AsyncConnection, task_ids: set[str]) -> dict[str, bytes]:
    if not task_ids:
        return {}
    rows = await connection.execute(select(task.c.task_id, task.c.content_hash).where(task.c.task_id.in_(task_ids)))
    return {row.task_id: row.content_hash for row in rows}


def _row(submission: Submission) -> dict[str, Any]:
    spec = submission.task
    return {
        "task_id": spec.task_id,
        "content_hash": submission.content_hash,
        "spec": msgspec.msgpack.encode(spec),
        "priority": int(spec.priority),
        "language": spec.language,
        "strategy": spec.strategy.value,
        "pool": spec.pool,
        "labels": spec.labels,
        "state": TaskState.QUEUED.value,
        "queued_at": spec.queued_at,
        "chunk_count": 0,
        "chunks_succeeded": 0,
        "chunks_failed": 0,
        "chunks_ready": 0,
        "chunks_running": 0,
        "next_chunk": 0,
        "succeeded_seconds": 0.0,
        "last_attempt": 0,
        "min_succeeded": spec.split.min_succeeded if spec.split else 0,
        "reduces": bool(spec.split and spec.split.reduce),
        "max_attempts": spec.retry.max_attempts,
        "backoff_seconds": spec.retry.backoff_seconds,
    }
