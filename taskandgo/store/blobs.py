"""The statements about blobs: written piece by piece, found by their hash, used by tasks, removed when none does.

Promises: a blob that a task uses stays; what is being written is not found before it is whole; the same bytes are
kept once.
"""

import re
from array import array
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, exists, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.errors import BlobGoneError
from taskandgo.store.blob_records import BlobRecord, BlobTotal, LineEnds, Piece, Written
from taskandgo.store.database import insert_new
from taskandgo.store.tables import blob, blob_piece, blob_use, task

#: Each piece of a blob but the last has this size, so that an offset tells the piece.
PIECE_BYTES = 256 * 1024

PIECE_COLUMNS = ("number", "lines_before", "data")
REMOVED = "what was written so far has been removed, since nothing more came for too long"

INSERT_PIECE = insert(blob_piece)
TOUCH = update(blob).where(blob.c.sha256.in_(bindparam("wanted", expanding=True))).values(touched_at=bindparam("at"))
READ_PIECE = (
    select(blob_piece.c.data)
    .join(blob, blob.c.blob_id == blob_piece.c.blob_id)
    .where(blob.c.sha256 == bindparam("wanted"), blob_piece.c.number == bindparam("piece"))
)


async def begin(connection: AsyncConnection, blob_id: str, at: datetime) -> None:
    """Begin to write a blob."""
    await connection.execute(insert(blob).values(blob_id=blob_id, size_bytes=0, lines=0, touched_at=at))


async def add_pieces(connection: AsyncConnection, blob_id: str, pieces: Sequence[Piece], at: datetime) -> None:
    """Add the next pieces; BlobGoneError if what was written before has been removed."""
    touched = await connection.execute(update(blob).where(blob.c.blob_id == blob_id).values(touched_at=at))
    if not touched.rowcount:
        raise BlobGoneError(REMOVED)
    rows = [{"blob_id": blob_id, **{name: getattr(piece, name) for name in PIECE_COLUMNS}} for piece in pieces]
    await connection.execute(INSERT_PIECE, rows)


async def finish(connection: AsyncConnection, written: Written, task_id: str | None, at: datetime) -> None:
    """It is whole; if the same bytes are there already they stay, and these go. A task that is named uses it."""
    same = update(blob).where(blob.c.sha256 == written.sha256).values(touched_at=at).returning(blob.c.blob_id)
    there = await connection.scalar(same)
    this = blob.c.blob_id == written.blob_id
    if there:
        await connection.execute(delete(blob).where(this))
    else:
        whole = {"sha256": written.sha256, "size_bytes": written.size_bytes, "lines": written.lines}
        finished = await connection.execute(update(blob).where(this).values(**whole, touched_at=at))
        if not finished.rowcount:
            raise BlobGoneError(REMOVED)
    if task_id is not None:
        # None if the task is gone: then nobody wants it, and it goes like all that nobody uses.
        of_task = select(task.c.task_id, literal(there or written.blob_id)).where(task.c.task_id == task_id)
        use = insert_new(connection.dialect.name, blob_use)
        await connection.execute(use.from_select(["task_id", "blob_id"], of_task))


async def discard(connection: AsyncConnection, blob_id: str) -> None:
    """Remove what was written of a blob that will not be finished."""
    await connection.execute(delete(blob).where(blob.c.blob_id == blob_id, blob.c.sha256.is_(None)))


async def total(connection: AsyncConnection) -> BlobTotal:
    """How many blobs there are, and how large all are together."""
    row = (await connection.execute(select(func.count(), func.coalesce(func.sum(blob.c.size_bytes), 0)))).one()
    return BlobTotal(count=row[0], size_bytes=int(row[1]))


async def find(connection: AsyncConnection, sha256: str) -> BlobRecord | None:
    """The blob with this hash; None if there is none."""
    row = (
        await connection.execute(select(blob.c.size_bytes, blob.c.lines).where(blob.c.sha256 == sha256))
    ).one_or_none()
    return BlobRecord(sha256=sha256, size_bytes=row.size_bytes, lines=row.lines) if row else None


async def touch(connection: AsyncConnection, hashes: Iterable[str], at: datetime) -> dict[str, str]:
    """The ids of those of the blobs that are there; they stay until this transaction has ended."""
    wanted = {"wanted": sorted(set(hashes)), "at": at}
    rows = await connection.execute(TOUCH.returning(blob.c.sha256, blob.c.blob_id), wanted)
    return {row.sha256: row.blob_id for row in rows}


async def use(connection: AsyncConnection, uses: Iterable[tuple[str, str]]) -> None:
    """These tasks use these blobs (their ids), which are there."""
    rows = [{"task_id": task_id, "blob_id": blob_id} for task_id, blob_id in uses]
    if rows:
        await connection.execute(insert(blob_use), rows)


async def read_piece(connection: AsyncConnection, sha256: str, number: int) -> bytes | None:
    """One piece; None if there is no such piece."""
    return await connection.scalar(READ_PIECE, {"wanted": sha256, "piece": number})


async def read_start(connection: AsyncConnection, sha256: str, most_bytes: int) -> bytes:
    """The beginning of a blob."""
    last = (most_bytes - 1) // PIECE_BYTES
    statement = select(blob_piece.c.data).join(blob, blob.c.blob_id == blob_piece.c.blob_id)
    wanted = statement.where(blob.c.sha256 == sha256, blob_piece.c.number <= last).order_by(blob_piece.c.number)
    return b"".join(await connection.scalars(wanted))[:most_bytes]


async def line_ends(connection: AsyncConnection, sha256: str, line: int) -> LineEnds | None:
    """The ends of lines in the piece that so many lines end in, counted from 1."""
    columns = (blob_piece.c.number, blob_piece.c.lines_before, blob_piece.c.data)
    found = select(*columns).join(blob, blob.c.blob_id == blob_piece.c.blob_id)
    before = (blob.c.sha256 == sha256, blob_piece.c.lines_before < line)
    row = (await connection.execute(found.where(*before).order_by(blob_piece.c.number.desc()).limit(1))).one_or_none()
    if row is None:
        return None
    offset = row.number * PIECE_BYTES
    ends = array("Q", (offset + match.end() for match in re.finditer(b"\n", row.data)))
    return LineEnds(first_line=row.lines_before + 1, ends=ends)


async def remove_unused(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Remove blobs that no task uses and nobody touched since; how many they were."""
    unused = ~exists().where(blob_use.c.blob_id == blob.c.blob_id)
    old = select(blob.c.blob_id).where(blob.c.touched_at < before, unused).limit(limit)
    # Asked again, since a task may have come to use one meanwhile: it touched it.
    gone = await connection.execute(
        delete(blob)
        .where(blob.c.blob_id.in_(old), blob.c.touched_at < before)
        .execution_options(synchronize_session=False)
    )
    return gone.rowcount
