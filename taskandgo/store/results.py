"""Results: each recorded once, and the task finished with the one that settles it; called by the dispatcher.

Promises: one transaction; the result of an attempt that is no longer the chunk's present one changes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.messages import ChunkFinished
from taskandgo.store.chunks import THIS_ATTEMPT
from taskandgo.store.locks import OPEN, lock_tasks, unfinished_chunks
from taskandgo.store.records import Recorded
from taskandgo.store.rows import finished_task
from taskandgo.store.tables import chunk, task
from taskandgo.words import ChunkState, Outcome, TaskState

Settle = Callable[[int, int, int], TaskState | None]
Ending = tuple[ChunkFinished, Settle]
Key = tuple[str, int, int]

RESULT = ("exit_code", "stdout", "stderr", "stdout_truncated", "stderr_truncated")
USAGE = ("wall_seconds", "cpu_seconds", "compile_seconds", "peak_memory_bytes", "output_bytes", "isolation")
FINISH = update(chunk).where(*THIS_ATTEMPT, chunk.c.state != ChunkState.FINISHED.value)
# Spelt out, since IN cannot be part of a statement over many rows.
COUNT = update(task).where(task.c.task_id == bindparam("of_task"), or_(*(task.c.state == state for state in OPEN)))


async def record_results(connection: AsyncConnection, endings: Sequence[Ending]) -> list[Recorded]:
    """What became of each result, in their order."""
    before = await lock_tasks(connection, (message.task_id for message, _ in endings))
    still_open = [task_id for task_id, row in before.items() if row.state in OPEN]
    present = {(c.task_id, c.chunk_index, c.attempt) for c in await unfinished_chunks(connection, still_open)}
    # The last place of a key wins nothing over the first: a result that came twice is kept once.
    kept = {_key(message): place for place, (message, _) in reversed(list(enumerate(endings)))}
    kept = {key: place for key, place in kept.items() if key in present}
    if kept:
        await _finish_chunks(connection, [endings[place][0] for place in kept.values()])
        await _count(connection, before, [endings[place] for place in sorted(kept.values())])
    after = await lock_tasks(connection, before)
    settling = {endings[place][0].task_id: place for place in sorted(kept.values())}
    places = set(kept.values())
    return [
        _recorded(after.get(message.task_id), kept=place in places, settled=settling.get(message.task_id) == place)
        for place, (message, _) in enumerate(endings)
    ]


def _recorded(row: Row[Any] | None, *, kept: bool, settled: bool) -> Recorded:
    if row is None or row.state in OPEN:
        return Recorded(kept=kept)
    return Recorded(kept=kept, finished=finished_task(row), newly_finished=kept and settled)


def _key(message: ChunkFinished) -> Key:
    return message.task_id, message.chunk_index, message.attempt


async def _finish_chunks(connection: AsyncConnection, messages: Sequence[ChunkFinished]) -> None:
    await connection.execute(FINISH, [_row(message) for message in messages])


def _row(message: ChunkFinished) -> dict[str, Any]:
    result = message.result
    return {
        "of_task": message.task_id,
        "of_index": message.chunk_index,
        "of_attempt": message.attempt,
        "state": ChunkState.FINISHED.value,
        "outcome": result.outcome.value,
        "runner": message.runner,
        "started_at": message.started_at,
        "finished_at": message.finished_at,
        # PostgreSQL's text cannot hold NUL.
        "reason": result.reason.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        **{name: getattr(result, name) for name in RESULT},
        **{name: getattr(result.usage, name) for name in USAGE},
    }


async def _count(connection: AsyncConnection, before: dict[str, Row[Any]], kept: Sequence[Ending]) -> None:
    by_task: dict[str, list[Ending]] = defaultdict(list)
    for ending in kept:
        by_task[ending[0].task_id].append(ending)
    failing = [task_id for task_id, endings in by_task.items() if _has_failed(before[task_id], endings)]
    failures = await _first_failures(connection, failing) if failing else {}
    rows = [_counted(before[task_id], endings, failures.get(task_id)) for task_id, endings in by_task.items()]
    await connection.execute(COUNT, rows)


def _has_failed(before: Row[Any], endings: Sequence[Ending]) -> bool:
    return before.chunks_failed or any(m.result.outcome is not Outcome.SUCCEEDED for m, _ in endings)


async def _first_failures(connection: AsyncConnection, task_ids: Sequence[str]) -> dict[str, str]:
    bad = (chunk.c.outcome != Outcome.SUCCEEDED.value, chunk.c.task_id.in_(task_ids))
    first = select(chunk.c.task_id, func.min(chunk.c.chunk_index).label("chunk_index")).where(*bad)
    lowest = first.group_by(chunk.c.task_id).subquery()
    same = (chunk.c.task_id == lowest.c.task_id) & (chunk.c.chunk_index == lowest.c.chunk_index)
    rows = await connection.execute(select(chunk.c.task_id, chunk.c.outcome).join(lowest, same))
    return {row.task_id: row.outcome for row in rows}


def _counted(before: Row[Any], endings: Sequence[Ending], failure: str | None) -> dict[str, Any]:
    messages = [message for message, _ in endings]
    ended = Counter(message.result.outcome is Outcome.SUCCEEDED for message in messages)
    succeeded, failed = before.chunks_succeeded + ended[True], before.chunks_failed + ended[False]
    final = endings[-1][1](before.chunk_count, succeeded, failed)
    started: list[datetime] = [m.started_at for m in messages if m.started_at]
    running = TaskState.RUNNING.value if started else before.state
    outcome = Outcome.SUCCEEDED.value if final is TaskState.SUCCEEDED else failure
    return {
        "of_task": before.task_id,
        "chunks_succeeded": succeeded,
        "chunks_failed": failed,
        "started_at": before.started_at or min(started, default=None),
        "state": final.value if final else running,
        "outcome": outcome if final else None,
        "finished_at": max(message.finished_at for message in messages) if final else None,
    }
