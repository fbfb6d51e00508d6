"""Removing tasks that finished long ago; called by ingest's sweep, if it is told to.

Promises: everything of the task goes in one transaction; the blobs that it alone used are left without a use, and
go with the next sweep of blobs.
"""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.locks import OPEN
from taskandgo.store.tables import outbox, task


async def remove_finished(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Remove so many tasks that finished before an instant, the oldest first; how many they were."""
    # What was queued later cannot have finished before; so the index of the newest tasks finds the oldest.
    old = (task.c.queued_at < before, task.c.finished_at < before, task.c.state.not_in(OPEN))
    found = select(task.c.task_id).where(*old).order_by(task.c.queued_at, task.c.task_id).limit(limit)
    task_ids = list(await connection.scalars(found.with_for_update(skip_locked=True)))
    if task_ids:
        await connection.execute(delete(outbox).where(outbox.c.task_id.in_(task_ids)))
        await connection.execute(delete(task).where(task.c.task_id.in_(task_ids)))
    return len(task_ids)
