"""How far tasks and chunks are: loaded under the tasks' locks, moved on by the dispatcher's rules, and saved.

Promises: whatever happens between `load` and `save` happens to these tasks alone and in one transaction; a
task of many chunks costs no more to load than the chunks that are asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.messages import ChunkFinished
from taskandgo.store.absent_chunks import absent_chunks
from taskandgo.store.records import OpenChunk, Timer
from taskandgo.store.tables import chunk, task
from taskandgo.words import OPEN_STATES, ChunkState, Outcome, TaskState, TimerKind

Key = tuple[str, int]
#: How many chunks without a row are enough to go on with.
ENOUGH = 16


@dataclass(slots=True)
class ChunkProgress:
    """A chunk as it is now; `ending` is set with the result that finishes it, `changed` with any other step."""

    task_id: str
    chunk_index: int
    attempt: int
    duplicate: int
    attempts: int
    lost_count: int
    failed_count: int
    out_of_memory_count: int
    unstarted_count: int
    state: str
    ready_at: datetime | None
    due_at: datetime | None
    opened_from: int | None
    opened_to: int | None
    runner: str
    started_at: datetime | None
    reason: str | None
    changed: bool = False
    ending: ChunkFinished | None = None

    @property
    def live(self) -> set[int]:
        """The attempts whose result would count."""
        running = self.state in (ChunkState.READY, ChunkState.RUNNING)
        return {self.attempt, self.duplicate} - {0} if running else set()


@dataclass(slots=True)
class TaskProgress:
    """A task as it is now; `opened` are chunks that get their row when it is saved, `timers` what is set then."""

    task_id: str
    state: str
    outcome: str | None
    priority: int
    language: str
    strategy: str
    pool: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    chunk_count: int
    chunks_succeeded: int
    chunks_failed: int
    chunks_ready: int
    chunks_running: int
    next_chunk: int
    succeeded_seconds: float
    last_attempt: int
    min_succeeded: int
    reduces: bool
    max_attempts: int
    backoff_seconds: float
    gaps: list[int] | None = None
    opened: list[int] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    changed: bool = False

    @property
    def open(self) -> bool:
        """Whether it has not reached its final state."""
        return self.state in OPEN_STATES

    @property
    def in_flight(self) -> int:
        """How many of its chunks are in the queue and on runners."""
        return self.chunks_ready + self.chunks_running

    @property
    def mean_seconds(self) -> float:
        """How long its chunks that succeeded ran, on average; 0 before the first has."""
        return self.succeeded_seconds / max(1, self.chunks_succeeded)

    def open_next(self) -> OpenChunk | None:
        """Let the next chunk that has not been emitted into the queue; None when there is none."""
        following = [self.next_chunk] if self.gaps is None else self.gaps
        index = following.pop(0) if following else self.chunk_count
        return self.open_chunk(index) if index < self.chunk_count else None

    def open_chunk(self, index: int) -> OpenChunk:
        """Let this chunk into the queue."""
        self.next_chunk = max(self.next_chunk, index + 1)
        self.chunks_ready += 1
        self.opened.append(index)
        self.changed = True
        return OpenChunk(chunk_index=index, chunk_count=self.chunk_count, attempt=self.last_attempt + 1)

    def leave(self, state: str) -> None:
        """A chunk is no longer in this state."""
        self.chunks_ready -= state == ChunkState.READY
        self.chunks_running -= state == ChunkState.RUNNING
        self.changed = True

    def set_timer(self, kind: TimerKind, chunk_index: int, due_at: datetime) -> None:
        """Have something happen at an instant."""
        self.timers.append(Timer(task_id=self.task_id, kind=kind, chunk_index=chunk_index, due_at=due_at))

    def finish(self, state: TaskState, at: datetime, outcome: Outcome | None = None) -> None:
        """Bring it into its final state; without an outcome the first chunk that failed tells it."""
        self.state, self.finished_at, self.changed = state.value, at, True
        self.outcome = outcome.value if outcome else None


_OWN = {"changed", "ending", "gaps", "opened", "timers"}
TASK_COLUMNS = [task.c[name] for name in TaskProgress.__dataclass_fields__ if name not in _OWN]
CHUNK_COLUMNS = [chunk.c[name] for name in ChunkProgress.__dataclass_fields__ if name not in _OWN]

# Statements of the hot path are made once: making one costs as much as running it.
LOAD_TASKS = (
    select(*TASK_COLUMNS)
    .where(task.c.task_id.in_(bindparam("task_ids", expanding=True)))
    .order_by(task.c.task_id)
    .with_for_update()
)
# Two lists rather than pairs: for tasks of one chunk, the usual, it is one lookup each.
LOAD_CHUNKS = select(*CHUNK_COLUMNS).where(
    chunk.c.task_id.in_(bindparam("task_ids", expanding=True)),
    chunk.c.chunk_index.in_(bindparam("indexes", expanding=True)),
)


async def load_tasks(connection: AsyncConnection, task_ids: Iterable[str]) -> dict[str, TaskProgress]:
    """The tasks by id, locked in the order of their ids; SQLite has one writer anyway."""
    rows = await connection.execute(LOAD_TASKS, {"task_ids": list(set(task_ids))})
    tasks = {row[0]: TaskProgress(*row) for row in rows}
    for found in tasks.values():
        if found.last_attempt and found.open:
            found.gaps = await _gaps(connection, found)
    return tasks


async def load_chunks(connection: AsyncConnection, keys: Iterable[Key]) -> dict[Key, ChunkProgress]:
    """The chunks of tasks that are locked already."""
    wanted = set(keys)
    if not wanted:
        return {}
    task_ids, indexes = ({key[place] for key in wanted} for place in (0, 1))
    rows = await connection.execute(LOAD_CHUNKS, {"task_ids": list(task_ids), "indexes": list(indexes)})
    return {(row.task_id, row.chunk_index): ChunkProgress(*row) for row in rows}


async def ready_chunks(
    connection: AsyncConnection, task: TaskProgress, start: int = 0, stop: int | None = None
) -> list[OpenChunk]:
    """The task's chunks that are in the queue, as far as the store knows, between two indexes."""
    last = task.chunk_count + 1 if stop is None else stop
    rows = await connection.execute(
        select(chunk.c.chunk_index, chunk.c.attempt, chunk.c.out_of_memory_count)
        .where(
            chunk.c.task_id == task.task_id,
            chunk.c.chunk_index >= start,
            chunk.c.chunk_index < last,
            chunk.c.state == ChunkState.READY.value,
        )
        .order_by(chunk.c.chunk_index)
    )
    return [open_chunk(row, task.chunk_count) for row in rows]


def open_chunk(row: Any, chunk_count: int) -> OpenChunk:
    """A chunk's progress, or its row, as the chunk at its present attempt."""
    return OpenChunk(
        chunk_index=row.chunk_index,
        chunk_count=chunk_count,
        attempt=row.attempt,
        out_of_memory_count=row.out_of_memory_count,
    )


async def _gaps(connection: AsyncConnection, task: TaskProgress) -> list[int]:
    """The next chunks without a row: a task that runs again keeps the chunks that succeeded."""
    left = range(task.next_chunk, task.chunk_count)
    gaps = await absent_chunks(connection, task.task_id, left, ENOUGH)
    if not gaps and task.next_chunk < task.chunk_count:
        # Nobody has to look through them again.
        task.next_chunk, task.changed = task.chunk_count, True
    return gaps
