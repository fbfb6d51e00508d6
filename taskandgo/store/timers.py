"""Timers: what is to happen at an instant, kept until a dispatcher has done it.

Promises: a timer that is due is taken up by one dispatcher; if that one dies, by another when its claim has run
out; a timer that was set anew meanwhile is not forgotten with the old one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.database import upsert
from taskandgo.store.records import Due, Timer
from taskandgo.store.tables import timer
from taskandgo.words import TimerKind

THIS_TIMER = (
    timer.c.task_id == bindparam("of_task"),
    timer.c.kind == bindparam("of_kind"),
    timer.c.chunk_index == bindparam("of_index"),
)
CLAIM = update(timer).where(*THIS_TIMER).values(due_at=bindparam("until"), claims=timer.c.claims + 1)
# The claim's own instant tells it from a later one, and from the timer set anew.
THIS_CLAIM = (*THIS_TIMER, timer.c.due_at == bindparam("until"), timer.c.claims == bindparam("of_claims"))
FORGET = delete(timer).where(*THIS_CLAIM)
PUT_OFF = update(timer).where(*THIS_CLAIM).values(due_at=bindparam("at"), claims=0)


async def set_timers(connection: AsyncConnection, timers: Sequence[Timer]) -> None:
    """Set timers, anew if they are there."""
    rows = {(one.task_id, one.kind.value, one.chunk_index): one.due_at for one in timers}
    names = ("task_id", "kind", "chunk_index")
    values = [{**dict(zip(names, key, strict=True)), "due_at": at, "claims": 0} for key, at in sorted(rows.items())]
    await connection.execute(upsert(connection.dialect.name, timer, ("due_at", "claims")), values)


async def next_due(connection: AsyncConnection) -> datetime | None:
    """When the earliest timer is due; None when there is none."""
    earliest: datetime | None = await connection.scalar(select(func.min(timer.c.due_at)))
    return earliest


async def claim_due(connection: AsyncConnection, now: datetime, until: datetime, limit: int) -> list[Due]:
    """Take up to `limit` timers that are due, the earliest first, for this caller alone until an instant."""
    rows = await connection.execute(
        select(timer.c.task_id, timer.c.kind, timer.c.chunk_index, timer.c.claims)
        .where(timer.c.due_at <= now)
        .order_by(timer.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    due = [
        Due(
            task_id=row.task_id,
            kind=TimerKind(row.kind),
            chunk_index=row.chunk_index,
            claims=row.claims + 1,
            claimed_until=until,
        )
        for row in rows
    ]
    if due:
        await connection.execute(CLAIM, [_claim(one) for one in due])
    return due


async def forget(connection: AsyncConnection, done: Sequence[Due]) -> list[None]:
    """These timers have been dealt with."""
    await connection.execute(FORGET, [{**_claim(one), "of_claims": one.claims} for one in _in_order(done)])
    return [None] * len(done)


async def put_off(connection: AsyncConnection, due: Due, at: datetime) -> None:
    """This timer has been dealt with for now, and is due again."""
    await connection.execute(PUT_OFF, {**_claim(due), "of_claims": due.claims, "at": at})


def _in_order(due: Sequence[Due]) -> list[Due]:
    return sorted(due, key=lambda one: (one.task_id, one.kind, one.chunk_index))


def _claim(due: Due) -> dict[str, Any]:
    return {
        "of_task": due.task_id,
        "of_kind": due.kind.value,
        "of_index": due.chunk_index,
        "until": due.claimed_until,
    }
