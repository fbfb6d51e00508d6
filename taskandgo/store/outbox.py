"""The outbox: what is committed and not yet confirmed by the broker; called by ingest.

Promises: what is published again is claimed by one ingest; if that one dies, by another after the same while.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, select, tuple_, update
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


async def claim_unconfirmed(
    connection: AsyncConnection, kind: str, limit: int, older_than: datetime, at: datetime
) -> list[Unconfirmed]:
    """The oldest tasks that wait for a confirm since before `older_than`; from now on they wait since `at`."""
    waiting = select(outbox.c.task_id).where(outbox.c.kind == kind, outbox.c.written_at < older_than)
    oldest = waiting.order_by(outbox.c.written_at, outbox.c.task_id).limit(limit)
    task_ids = list(await connection.scalars(oldest.with_for_update(skip_locked=True)))
    if not task_ids:
        return []
    these = (outbox.c.kind == kind, outbox.c.task_id.in_(task_ids))
    await connection.execute(update(outbox).where(*these).values(written_at=at))
    columns = (task.c.task_id, task.c.spec, task.c.last_attempt)
    rows = await connection.execute(select(*columns).where(task.c.task_id.in_(task_ids)))
    found: dict[str, Any] = {row.task_id: row for row in rows}
    return [_unconfirmed(found[task_id]) for task_id in task_ids if task_id in found]


def _unconfirmed(row: Any) -> Unconfirmed:
    return Unconfirmed(task=msgspec.msgpack.decode(row.spec, type=TaskSpec), last_attempt=row.last_attempt)
