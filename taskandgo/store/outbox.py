"""The outbox: what is committed and not yet confirmed by the broker; called by ingest."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import bindparam, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.records import Unconfirmed
from taskandgo.store.tables import outbox, task
from taskandgo.task import TaskSpec

Confirmed = tuple[str, str]

CONFIRM = delete(outbox).where(tuple_(outbox.c.task_id, outbox.c.kind).in_(bindparam("keys", expanding=True)))


async def confirm(connection: AsyncConnection, confirmed: Sequence[Confirmed]) -> list[None]:
    """Forget the rows, each known by its task and kind."""
    keys = sorted(set(confirmed))
    await connection.execute(CONFIRM, {"keys": keys})
    return [None] * len(confirmed)


async def unconfirmed(connection: AsyncConnection, kind: str, limit: int, older_than: datetime) -> list[Unconfirmed]:
    """The oldest tasks that wait for a confirm since before `older_than`."""
    rows = await connection.execute(
        select(task.c.spec, task.c.last_attempt)
        .join(outbox, outbox.c.task_id == task.c.task_id)
        .where(outbox.c.kind == kind, outbox.c.written_at < older_than)
        .order_by(outbox.c.written_at, outbox.c.task_id)
        .limit(limit)
    )
    return [
        Unconfirmed(task=msgspec.msgpack.decode(row.spec, type=TaskSpec), last_attempt=row.last_attempt) for row in rows
    ]
