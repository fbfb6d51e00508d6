"""Chunks of a task that have no row, because they were not emitted yet.

Promises: two statements, which see the task's rows up to the last gap that is wanted, and leave them in the database.
"""

from itertools import chain, islice

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.tables import chunk


async def absent_chunks(connection: AsyncConnection, task_id: str, indexes: range, most: int) -> list[int]:
    """The first of these indexes that have no row; the transaction has to see one instant."""
    if not indexes:
        return []
    between = (chunk.c.chunk_index >= indexes.start, chunk.c.chunk_index < indexes.stop)
    of_task = (chunk.c.task_id == task_id, *between)
    before = func.lag(chunk.c.chunk_index, 1, indexes.start - 1).over(order_by=chunk.c.chunk_index).label("before")
    rows = select(chunk.c.chunk_index, before).where(*of_task).subquery()
    behind_gaps = select(rows).where(rows.c.chunk_index > rows.c.before + 1).order_by(rows.c.chunk_index).limit(most)
    gaps = [range(row.before + 1, row.chunk_index) for row in await connection.execute(behind_gaps)]
    last = await connection.scalar(select(func.max(chunk.c.chunk_index)).where(*of_task))
    rest = range(indexes.start if last is None else last + 1, indexes.stop)
    return list(islice(chain(*gaps, rest), most))
