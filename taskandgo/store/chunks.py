"""A chunk's way to its end: emitted, started, emitted again after a wait; called by the dispatcher.

Promises: each step may be repeated; the attempt number fences off whoever comes late.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.progress import TaskProgress, load_chunks, load_tasks, open_chunk, ready_chunks
from taskandgo.store.records import Due, OpenChunk
from taskandgo.store.save_progress import save
from taskandgo.words import ChunkState, TaskState

#: What the dispatcher lets into the queue of an open task, or how it finishes it.
Refill = Callable[[TaskProgress], Sequence[OpenChunk]]


@dataclass(frozen=True, slots=True)
class Opening:
    """A task to be cut into so many chunks; `again` when somebody may have died over it ahead of emitting them."""

    task_id: str
    count: int
    refill: Refill
    at: datetime
    again: bool


Start = tuple[str, int, int, str, datetime]
Waking = tuple[Due, datetime]


async def open_chunks(connection: AsyncConnection, openings: Sequence[Opening]) -> list[list[OpenChunk]]:
    """Cut each open task that is not cut yet into so many chunks; for each, its chunks that are to be emitted."""
    tasks = await load_tasks(connection, (one.task_id for one in openings))
    cut_before = {task_id for task_id, task in tasks.items() if task.chunk_count}
    opened: dict[str, list[OpenChunk]] = defaultdict(list)
    for one in openings:
        task = tasks.get(one.task_id)
        if task is None or not task.open:
            continue
        if not task.chunk_count:
            task.chunk_count, task.changed = one.count, True
        opened[one.task_id] += one.refill(task)
    await save(connection, tasks.values(), (), max((one.at for one in openings), default=None))
    repeated = {one.task_id for one in openings if one.again}
    for task_id in cut_before & repeated & opened.keys():
        opened[task_id] = await ready_chunks(connection, tasks[task_id])
    return [opened[one.task_id] for one in openings]


async def start_chunks(connection: AsyncConnection, starts: Sequence[Start]) -> list[bool]:
    """Chunks that are ready for the very attempt become running, and their tasks with them.

    For each start whether its task was ended before its time, so that nobody wants what runs.
    """
    tasks = await load_tasks(connection, (start[0] for start in starts))
    keys = [(start[0], start[1]) for start in starts if start[0] in tasks and tasks[start[0]].open]
    chunks = await load_chunks(connection, keys)
    for task_id, index, attempt, runner, at in starts:
        chunk = chunks.get((task_id, index))
        if chunk and chunk.state == ChunkState.READY and chunk.attempt == attempt:
            chunk.state, chunk.runner, chunk.started_at, chunk.changed = ChunkState.RUNNING.value, runner, at, True
            _start(tasks[task_id], at)
    await save(connection, tasks.values(), chunks.values())
    return [_is_unwanted(tasks.get(task_id), attempt) for task_id, _, attempt, _, _ in starts]


def _is_unwanted(task: TaskProgress | None, attempt: int) -> bool:
    if task is None:
        return False
    # The task may run again since.
    return task.state in (TaskState.CANCELLED, TaskState.EXPIRED) or attempt <= task.last_attempt


def _start(task: TaskProgress, at: datetime) -> None:
    task.leave(ChunkState.READY)
    task.chunks_running += 1
    task.state = TaskState.RUNNING.value
    task.started_at = min(task.started_at or at, at)


async def wake_chunks(connection: AsyncConnection, wakings: Sequence[Waking]) -> list[OpenChunk | None]:
    """For each retry that is due, the chunk to emit now; it is no longer waiting."""
    tasks = await load_tasks(connection, (one.task_id for one, _ in wakings))
    keys = [(one.task_id, one.chunk_index) for one, _ in wakings if one.task_id in tasks and tasks[one.task_id].open]
    chunks = await load_chunks(connection, keys)
    awake: list[OpenChunk | None] = []
    for one, at in wakings:
        chunk = chunks.get((one.task_id, one.chunk_index))
        woken = chunk is not None and chunk.state == ChunkState.WAITING
        if chunk and woken:
            chunk.state, chunk.due_at, chunk.ready_at, chunk.changed = ChunkState.READY.value, None, at, True
            tasks[one.task_id].chunks_ready += 1
            tasks[one.task_id].changed = True
        # Taken up before by somebody who died, perhaps ahead of emitting it.
        again = one.claims > 1 and chunk is not None and chunk.state == ChunkState.READY
        emit = chunk and (woken or again)
        awake.append(open_chunk(chunk, tasks[one.task_id].chunk_count) if chunk and emit else None)
    await save(connection, tasks.values(), chunks.values())
    return awake
