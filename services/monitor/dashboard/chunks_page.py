"""The chunks of one task as a table, a page at a time."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.parts_page import PartsPage
from services.monitor.dashboard.rendering import Rendering
from taskandgo.errors import StoreAwayError
from taskandgo.store.records import ChunkFilter, ChunkRecord
from taskandgo.store.store import Store
from taskandgo.task import Value
from taskandgo.words import ChunkState, Outcome

PARTS = ("chunk-rows",)
PAGE = 20
#: What one can ask for, and what that is in the store's words.
KINDS: dict[str, tuple[Sequence[ChunkState], Sequence[Outcome]]] = {
    "": ((), ()),
    "running": ((ChunkState.RUNNING,), ()),
    "waiting": ((ChunkState.WAITING, ChunkState.READY), ()),
    "failed": ((), [outcome for outcome in Outcome if outcome not in (Outcome.SUCCEEDED, Outcome.CANCELLED)]),
    "succeeded": ((), (Outcome.SUCCEEDED,)),
}


class ChunkRow(Value, frozen=True, omit_defaults=False):
    """A chunk in the table; its state is an outcome once it has finished."""

    chunk_index: int
    state: str
    reduce: bool
    attempt: int
    runner: str
    started_at: datetime | None
    due_at: datetime | None
    exit_code: int | None
    reason: str
    wall_seconds: float
    peak_memory_bytes: int


class Chunks(Value, frozen=True, omit_defaults=False):
    """A page of chunks, None while the store is away; `next` is the last index on it if there are more."""

    task_id: str
    kind: str
    after: int
    chunks: Sequence[ChunkRow] | None
    next: int | None = None


def chunks_page(events: LiveEvents, rendering: Rendering, task_id: str, kind: str, after: int) -> PartsPage:
    """The table of a task's chunks: those of a kind, from an index on."""
    return PartsPage(events, rendering, PARTS, partial(_read, events.store, task_id, kind, after))


async def _read(store: Store, task_id: str, kind: str, after: int) -> Chunks:
    states, outcomes = KINDS[kind]
    wanted = ChunkFilter(task_id=task_id, states=states, outcomes=outcomes, page_size=PAGE + 1, after=after)
    try:
        found = await store.list_chunks(wanted) or []
    except StoreAwayError:
        return Chunks(task_id=task_id, kind=kind, after=after, chunks=None)
    rows = [_row(record) for record in found[:PAGE]]
    more = rows[-1].chunk_index if len(found) > PAGE else None
    return Chunks(task_id=task_id, kind=kind, after=after, chunks=rows, next=more)


def _row(record: ChunkRecord) -> ChunkRow:
    result = record.result
    return ChunkRow(
        chunk_index=record.chunk_index,
        state=result.outcome.value if result else record.state.value,
        reduce=record.reduce,
        attempt=record.attempt,
        runner=record.runner,
        started_at=record.started_at,
        due_at=record.due_at,
        exit_code=result.exit_code if result else None,
        reason=result.reason if result else "",
        wall_seconds=result.usage.wall_seconds if result else 0.0,
        peak_memory_bytes=result.usage.peak_memory_bytes if result else 0,
    )
