"""What an explanation is drawn from, on both databases: what is ahead, what runs, what was lost; all of one instant."""

from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.explanation.facts import Ahead, TaskFacts
from taskandgo.store import facts as store_facts
from taskandgo.store.records import Submission
from taskandgo.store.store import Store
from taskandgo.store.tables import task
from taskandgo.words import Outcome, Priority, TaskState
from tests.contract.store_steps import NOW, RULES, end, ended, lose, opened, opening, submission


async def waiting(store: Store, pool: str, priority: Priority, seconds: int, chunks: int = 1) -> str:
    """A task in the queue of its pool, accepted so many seconds later than others."""
    plain = submission()
    queued_at = NOW + timedelta(seconds=seconds)
    spec = msgspec.structs.replace(plain.task, priority=priority, pool=pool, queued_at=queued_at)
    await store.accept_task(Submission(task=spec, content_hash=b""))
    await store.open_chunks(opening(spec.task_id, chunks, RULES.refill))
    return spec.task_id


async def known(store: Store, task_id: str) -> TaskFacts:
    """The facts of a task that is there."""
    found = await store.task_facts(task_id)
    assert found is not None
    return found


async def test_an_unknown_task_has_no_facts(store: Store) -> None:
    assert await store.task_facts("nobody") is None


async def test_what_is_ahead_is_counted_in_the_same_pool_by_priority_and_age(store: Store) -> None:
    pool = f"p{uuid4().hex[:8]}"
    await waiting(store, pool, Priority.CRITICAL, 9, chunks=5)
    await waiting(store, pool, Priority.LOW, 0)
    await waiting(store, pool, Priority.NORMAL, 1, chunks=2)
    mine = await waiting(store, pool, Priority.NORMAL, 2)
    await waiting(store, pool, Priority.NORMAL, 3)
    ahead = (await known(store, mine)).ahead
    assert ahead == (Ahead(Priority.CRITICAL, 1, 5), Ahead(Priority.HIGH, 0, 0), Ahead(Priority.NORMAL, 1, 2))


async def test_counting_stops_and_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = f"p{uuid4().hex[:8]}"
    for _ in range(4):
        await waiting(store, pool, Priority.HIGH, 0)
    mine = await waiting(store, pool, Priority.NORMAL, 0)
    monkeypatch.setattr(store_facts, "LOOKED_AT", 3)
    high = (await known(store, mine)).ahead[1]
    assert (high.tasks <= 3, high.is_least) == (True, True)


async def test_what_runs_was_lost_and_is_due_again_is_told(store: Store) -> None:
    task_id = await opened(store, chunk_count=3)
    await store.start_chunk(task_id, 0, 1, "r1", NOW)
    await store.start_chunk(task_id, 1, 1, "r2", NOW + timedelta(seconds=1))
    await lose(store, task_id, attempt=1)
    await store.start_chunk(task_id, 0, 2, "r3", NOW + timedelta(seconds=2))
    facts = await known(store, task_id)
    assert (facts.state, facts.lost_count, facts.retries, facts.chunks_running) == (TaskState.RUNNING, 1, 0, 2)
    assert [(one.chunk_index, one.attempt, one.runner) for one in facts.running] == [(1, 1, "r2"), (0, 2, "r3")]
    assert facts.unconfirmed_since == NOW


async def test_how_it_ended_is_told_by_the_chunk_that_failed(store: Store) -> None:
    task_id = await opened(store, chunk_count=3)
    for index, outcome in enumerate((Outcome.SUCCEEDED, Outcome.TIMED_OUT, Outcome.SUCCEEDED)):
        await store.start_chunk(task_id, index, 1, "r", NOW)
        await end(store, ended(task_id, index, outcome=outcome))
    facts = await known(store, task_id)
    assert (facts.state, facts.missing_chunks, facts.chunks_failed) == (TaskState.FAILED, (1,), 1)
    assert facts.ended is not None
    assert (facts.ended.chunk_index, facts.ended.result.outcome) == (1, Outcome.TIMED_OUT)


async def test_facts_are_of_one_instant(store: Store) -> None:
    async def count_twice(connection: AsyncConnection) -> tuple[int, int]:
        counted = [await connection.scalar(select(func.count()).select_from(task))]
        await store.accept_task(submission())
        counted.append(await connection.scalar(select(func.count()).select_from(task)))
        return counted[0] or 0, counted[1] or 0

    before, after = await store._database.read_one_instant(count_twice)
    assert before == after
