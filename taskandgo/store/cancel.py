"""Cancelling: the task, its chunks and the outbox row in one transaction; called by ingest.

Promises: a task that is final already stays as it is.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.database import insert_new
from taskandgo.store.locks import OPEN, lock_tasks
from taskandgo.store.reads import get_task
from taskandgo.store.records import TaskRecord
from taskandgo.store.tables import chunk, outbox, task
from taskandgo.words import ChunkState, Outcome, TaskState

CANCELLED = "task.cancelled"
Cancellation = tuple[str, datetime]

END_TASK = (
    update(task)
    .where(task.c.task_id == bindparam("of_task"), task.c.state.in_(OPEN))
    .values(
        state=TaskState.CANCELLED.value,
        outcome=Outcome.CANCELLED.value,
        finished_at=bindparam("at"),
        chunks_failed=task.c.chunk_count - task.c.chunks_succeeded,
    )
)
END_CHUNKS = (
    update(chunk)
    .where(chunk.c.task_id == bindparam("of_task"), chunk.c.state != ChunkState.FINISHED.value)
    .values(state=ChunkState.FINISHED.value, outcome=Outcome.CANCELLED.value, finished_at=bindparam("at"))
)


async def cancel_tasks(connection: AsyncConnection, wanted: Sequence[Cancellation]) -> list[TaskRecord | None]:
    """Each task as it is afterwards; None if unknown."""
    rows = await lock_tasks(connection, (task_id for task_id, _ in wanted))
    ending = {task_id: at for task_id, at in wanted if task_id in rows and rows[task_id].state in OPEN}
    if ending:
        keys = [{"of_task": task_id, "at": at} for task_id, at in sorted(ending.items())]
        await connection.execute(END_TASK, keys)
        await connection.execute(END_CHUNKS, keys)
        written = [{"task_id": key["of_task"], "kind": CANCELLED, "written_at": key["at"]} for key in keys]
        await connection.execute(insert_new(connection.dialect.name, outbox), written)
    return [await get_task(connection, task_id) for task_id, _ in wanted]
