"""What is open, counted by priority; called by ingest for whoever watches everything.

Promises: finished tasks cost nothing, however many are kept; what it costs grows with the open ones.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.tables import IS_OPEN, task
from taskandgo.task import Value
from taskandgo.words import Priority, TaskState

QUEUED = task.c.state == TaskState.QUEUED.value


class OpenLevel(Value, frozen=True):
    """The open tasks of one priority, and their chunks."""

    priority: Priority
    queued: int = 0
    oldest_queued_at: datetime | None = None
    running: int = 0
    chunks_ready: int = 0
    chunks_running: int = 0


async def open_levels(connection: AsyncConnection) -> Sequence[OpenLevel]:
    """One for each priority, the most urgent first."""
    columns = (
        task.c.priority,
        func.count(case((QUEUED, 1))),
        func.min(case((QUEUED, task.c.queued_at))),
        func.count(case((~QUEUED, 1))),
        func.sum(task.c.chunks_ready),
        func.sum(task.c.chunks_running),
    )
    rows = await connection.execute(select(*columns).where(IS_OPEN).group_by(task.c.priority))
    found = {row[0]: row for row in rows}
    return [_level(priority, found.get(int(priority))) for priority in sorted(Priority, reverse=True)]


def _level(priority: Priority, row: Any) -> OpenLevel:
    if row is None:
        return OpenLevel(priority=priority)
    _, queued, oldest, running, ready, chunks_running = row
    return OpenLevel(
        priority=priority,
        queued=queued,
        oldest_queued_at=oldest,
        running=running,
        chunks_ready=int(ready),
        chunks_running=int(chunks_running),
    )


async def count_accepted(connection: AsyncConnection, since: datetime, until: datetime) -> int:
    """How many tasks were accepted from one instant up to another."""
    between = (task.c.queued_at >= since, task.c.queued_at < until)
    return await connection.scalar(select(func.count()).select_from(task).where(*between)) or 0
