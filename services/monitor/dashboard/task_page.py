"""One task: where it is and why, its timeline, chunks, code, output as it is written, and what it used.

Promises: a result is read once, when it is there, and no more of it is kept than is shown; all else that is read
again and again is small, however many chunks the task has.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from services.monitor.dashboard.chunk_cells import ChunkGrid, chunk_grid, neighbours
from services.monitor.dashboard.frames import Frame, event
from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.output_log import OutputLog
from services.monitor.dashboard.rendering import Rendering
from services.monitor.dashboard.task_rows import TaskRow, task_row
from taskandgo.errors import StoreAwayError
from taskandgo.explain_task import ExplainTask
from taskandgo.explanation.reasons import Explanation
from taskandgo.messages import ChunkOutput
from taskandgo.store.records import TaskRecord
from taskandgo.task import TaskSpec, Usage, Value
from taskandgo.watchers import Events
from taskandgo.words import Outcome

PARTS = ("task-head", "task-why", "timeline", "chunk-counts", "usage", "result")
SHOWN_BYTES = 128 * 1024
SHOWN_CODE = 256 * 1024


class Result(Value, frozen=True, omit_defaults=False):
    """How the task ended: the beginning of each stream as text, and how much of it there is in all."""

    outcome: Outcome
    exit_code: int | None
    reason: str
    stdout: str
    stderr: str
    stdout_bytes: int
    stderr_bytes: int
    stdout_cut: bool
    stderr_cut: bool
    attempt: int
    runner: str
    usage: Usage
    missing_chunks: Sequence[int]


class TaskShown(Value, frozen=True, omit_defaults=False):
    """What a task's page shows; `store` is False while it shows what it knew before the store went away."""

    task: TaskRow
    store: bool
    why: Explanation | None
    result: Result | None
    grid: ChunkGrid | None


@dataclass(slots=True)
class TaskPage:
    """A task's page; `row` and `spec` are the task as it was when it was opened."""

    events: LiveEvents
    rendering: Rendering
    explain: ExplainTask
    row: TaskRecord
    log: OutputLog = field(default_factory=OutputLog)
    _result: tuple[datetime | None, Result | None] = (None, None)
    _stored: TaskShown | None = None
    _heard: int = 0

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Hear what happens to the task, its output among it."""
        async with self.events.looking(), self.events.watchers.follow(self.row.task_id) as following:
            await following.bound
            hearing = asyncio.get_running_loop().create_task(self._hear(following.events))
            try:
                yield
            finally:
                hearing.cancel()

    def stamp(self) -> object:
        """Whatever is heard of the task."""
        return self._heard

    def logged_since(self, place: int) -> tuple[int, Frame | None]:
        """The output that was written after a place."""
        blocks, gap = self.log.since(place)
        if not blocks:
            return self.log.end, None
        written = [[one.chunk, one.attempt, one.stream.value, one.text, one.missed_bytes] for one in blocks]
        return self.log.end, event("output", {"again": place == 0, "gap": gap, "blocks": written})

    async def frames(self) -> Sequence[Frame]:
        """Its parts, and the cells of its chunks."""
        shown = await self.read()
        frames = self.rendering.parts(PARTS, shown)
        return [*frames, event("cells", shown.grid)] if shown.grid else frames

    async def read(self) -> TaskShown:
        """What there is now; what there was, while the store is away."""
        try:
            self._stored = await self._read()
        except StoreAwayError:
            before = self._stored or TaskShown(task=task_row(self.row), store=False, why=None, result=None, grid=None)
            return TaskShown(task=before.task, store=False, why=before.why, result=before.result, grid=before.grid)
        return self._stored

    async def _read(self) -> TaskShown:
        # One that is removed meanwhile stays as it was.
        self.row = row = await self.events.store.task_row(self.row.task_id) or self.row
        return TaskShown(
            task=task_row(row),
            store=True,
            why=await self.explain(row.task_id),
            result=await self._read_result(row),
            grid=await self._read_grid(row),
        )

    async def _read_grid(self, row: TaskRecord) -> ChunkGrid | None:
        if row.chunk_count <= 1:
            return None
        counts = await self.events.store.count_chunks(row.task_id, row.chunk_count, neighbours(row.chunk_count))
        return chunk_grid(row.chunk_count, counts, final=row.state.final)

    async def _read_result(self, row: TaskRecord) -> Result | None:
        if not row.state.final:
            return None
        ended_at, result = self._result
        if result is None or ended_at != row.finished_at:
            record = await self.events.store.get_task(row.task_id)
            result = _result(record) if record else None
            self._result = (row.finished_at, result)
        return result

    async def _hear(self, events: Events) -> None:
        while True:
            message = await events.get()
            self._heard += 1
            if isinstance(message, ChunkOutput):
                self.log.take(message)


def code_of(spec: TaskSpec) -> tuple[str, bool]:
    """The code as far as it is shown, and whether there is more."""
    return spec.code[:SHOWN_CODE], len(spec.code) > SHOWN_CODE


def _result(record: TaskRecord) -> Result | None:
    found = record.result
    if found is None:
        return None
    return Result(
        outcome=found.outcome,
        exit_code=found.exit_code,
        reason=found.reason,
        stdout=found.stdout[:SHOWN_BYTES].decode(errors="replace"),
        stderr=found.stderr[:SHOWN_BYTES].decode(errors="replace"),
        stdout_bytes=record.stdout_bytes,
        stderr_bytes=record.stderr_bytes,
        stdout_cut=found.stdout_truncated or record.stdout_bytes > SHOWN_BYTES,
        stderr_cut=found.stderr_truncated or record.stderr_bytes > SHOWN_BYTES,
        attempt=record.attempt,
        runner=record.runner,
        usage=found.usage,
        missing_chunks=record.missing_chunks[:20],
    )
