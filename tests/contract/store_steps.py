"""Steps of tasks through a store, as tests make them: with the dispatcher's own rules, at fixed instants."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.dispatcher.progress import Progress
from services.dispatcher.stragglers import Patience
from taskandgo.messages import ChunkFinished
from taskandgo.store.chunks import Opening, Refill
from taskandgo.store.records import Ending, Recorded, Submission
from taskandgo.store.store import Store
from taskandgo.task import AttemptResult, TaskSpec
from taskandgo.words import Outcome, Priority

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RULES = Progress(
    window=lambda _pool, _seconds: 100,
    max_lost=2,
    max_lost_unstarted=3,
    patience=Patience(factor=4, least_seconds=1),
)


def submission(
    content: bytes = b"a", task_id: str = "", at: datetime = NOW, labels: dict[str, str] | None = None
) -> Submission:
    name = task_id or uuid4().hex
    task = TaskSpec(
        task_id=name, priority=Priority.NORMAL, language="python", code="1", queued_at=at, labels=labels or {}
    )
    return Submission(task=task, content_hash=content)


async def opened(store: Store, chunk_count: int = 1) -> str:
    item = submission()
    await store.accept_task(item)
    await store.open_chunks(opening(item.task.task_id, chunk_count, RULES.refill))
    return item.task.task_id


def opening(task_id: str, count: int, refill: Refill, *, again: bool = False) -> Opening:
    return Opening(task_id, count, refill, NOW, again)


async def end(store: Store, message: ChunkFinished, *, redelivered: bool = False) -> Recorded:
    return await store.record_ending(Ending(message=message, at=NOW, redelivered=redelivered), RULES.advance)


async def lose(store: Store, task_id: str, attempt: int, *, redelivered: bool = False) -> Recorded:
    return await end(store, ended(task_id, attempt=attempt, outcome=Outcome.LOST), redelivered=redelivered)


def ended(
    task_id: str, index: int = 0, attempt: int = 1, outcome: Outcome = Outcome.SUCCEEDED, stdout: bytes = b""
) -> ChunkFinished:
    return ChunkFinished(
        task_id=task_id,
        chunk_index=index,
        attempt=attempt,
        runner="r",
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=1),
        result=AttemptResult(outcome=outcome, exit_code=0, stdout=stdout),
    )
