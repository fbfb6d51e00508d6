"""Every transition of a task begins here: its row is locked first, so that all transitions of it are one after another.

Promises: rows are locked in the order of their ids, so that two transactions never wait for each other in a circle.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.tables import task
from taskandgo.words import OPEN_STATES

OPEN = sorted(state.value for state in OPEN_STATES)
#: Everything about a task but its code, which may be large.
TASK_COLUMNS = [column for column in task.c if column.name not in {"spec", "content_hash"}]

# Statements of the hot path are made once: making one costs as much as running it.
LOCK = (
    select(*TASK_COLUMNS)
    .where(task.c.task_id.in_(bindparam("task_ids", expanding=True)))
    .order_by(task.c.task_id)
    .with_for_update()
)


async def lock_tasks(connection: AsyncConnection, task_ids: Iterable[str]) -> dict[str, Row[Any]]:
    """The tasks by id as they are now and until this transaction ends; SQLite has one writer anyway."""
    rows = await connection.execute(LOCK, {"task_ids": list(set(task_ids))})
    return {row.task_id: row for row in rows}
