"""What the store promises of tasks with many chunks, of retries and of timers, on SQLite and on PostgreSQL."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from services.dispatcher.progress import Progress
from services.dispatcher.stragglers import Patience
from taskandgo.store import gathered
from taskandgo.store.connect import open_store
from taskandgo.store.records import ChunkFilter, ChunkRecord, Due, Ending, Recorded, Submission, TaskRecord
from taskandgo.store.store import Store
from taskandgo.task import Code, Retry, Split, TaskSpec
from taskandgo.words import ChunkState, Outcome, Priority, Strategy, TaskState, TimerKind
from tests.contract.store_steps import NOW, ended, opening

WINDOW = 4
RULES = Progress(
    window=lambda _pool, _seconds: WINDOW,
    max_lost=2,
    max_lost_unstarted=3,
    patience=Patience(factor=4, least_seconds=1),
)
LEASE = timedelta(seconds=30)


async def accepted(store: Store, **asked: object) -> TaskSpec:
    fields = {"priority": Priority.NORMAL, "language": "python", "code": "1", "queued_at": NOW} | asked
    spec = TaskSpec(task_id=uuid4().hex, strategy=Strategy.SPLIT, **fields)  # type: ignore[arg-type]
    await store.accept_task(Submission(task=spec, content_hash=b"h"))
    return spec


async def split(store: Store, chunks: int, **asked: object) -> str:
    spec = await accepted(store, **asked)
    await store.open_chunks(opening(spec.task_id, chunks, RULES.refill))
    return spec.task_id


async def end(
    store: Store,
    task_id: str,
    index: int,
    outcome: Outcome = Outcome.SUCCEEDED,
    attempt: int = 1,
    *,
    redelivered: bool = False,
) -> Recorded:
    message = ended(task_id, index, attempt, outcome, stdout=b"%d;" % index)
    return await store.record_ending(Ending(message=message, at=NOW, redelivered=redelivered), RULES.advance)


async def record_of(store: Store, task_id: str) -> TaskRecord:
    record = await store.get_task(task_id)
    assert record is not None
    return record


async def chunks_of(store: Store, task_id: str, **wanted: object) -> list[ChunkRecord]:
    chunks = await store.list_chunks(ChunkFilter(task_id=task_id, page_size=1000, **wanted))  # type: ignore[arg-type]
    assert chunks is not None
    return chunks


async def due_of(store: Store, task_id: str, at: timedelta) -> list[Due]:
    """The task's timers that are due by then; those of other tests are done with."""
    due = await store.claim_due(NOW + at, NOW + at + LEASE, 1000)
    return [one for one in due if one.task_id == task_id]


def indexes(recorded: Recorded) -> list[int]:
    return [chunk.chunk_index for chunk in recorded.emit]


async def test_a_large_task_has_a_window_of_its_chunks_in_flight(store: Store) -> None:
    spec = await accepted(store)
    first = await store.open_chunks(opening(spec.task_id, 100_000, RULES.refill))
    assert [chunk.chunk_index for chunk in first] == [0, 1, 2, 3]
    assert indexes(await end(store, spec.task_id, 2)) == [4]
    record = await record_of(store, spec.task_id)
    assert (record.chunk_count, record.chunks_ready, record.chunks_succeeded) == (100_000, WINDOW, 1)


async def test_what_an_end_let_into_the_queue_is_said_again_when_it_is_redelivered(store: Store) -> None:
    task_id = await split(store, 10)
    assert indexes(await end(store, task_id, 0)) == [4]
    assert indexes(await end(store, task_id, 1)) == [5]
    assert indexes(await end(store, task_id, 0)) == []
    assert indexes(await end(store, task_id, 0, redelivered=True)) == [4]
    await store.start_chunk(task_id, 4, 1, "r", NOW)
    assert indexes(await end(store, task_id, 0, redelivered=True)) == []


async def test_the_last_of_many_concurrent_ends_opens_the_reduce_once(url: str, store: Store) -> None:
    task_id = await split(store, WINDOW, split=Split(chunks=WINDOW, reduce=Code(language="python", code="r")))
    async with open_store(url) as second:
        answers = await asyncio.gather(*(end((store, second)[n % 2], task_id, n // 5) for n in range(5 * WINDOW)))
    assert [index for answer in answers for index in indexes(answer)] == [WINDOW]
    assert sum(answer.kept for answer in answers) == WINDOW
    found = await store.reduce_input(task_id, 1000)
    assert found.outputs == [(index, b"%d;" % index) for index in range(WINDOW)]
    assert (await store.reduce_input(task_id, 3)).outputs is None
    finished = await end(store, task_id, WINDOW)
    assert finished.newly_finished
    record = await record_of(store, task_id)
    assert record.result is not None
    assert (record.state, record.result.stdout) == (TaskState.SUCCEEDED, b"%d;" % WINDOW)


async def test_enough_chunks_make_a_success_that_says_what_is_missing(store: Store) -> None:
    task_id = await split(store, 3, split=Split(chunks=3, min_succeeded=2))
    await end(store, task_id, 1, Outcome.FAILED)
    await end(store, task_id, 2)
    await end(store, task_id, 0)
    record = await record_of(store, task_id)
    assert record.result is not None
    assert (record.state, record.result.outcome) == (TaskState.SUCCEEDED, Outcome.SUCCEEDED)
    assert (record.result.stdout, list(record.missing_chunks)) == (b"0;2;", [1])


async def test_gathered_output_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered, "KEPT_BYTES", 5)
    task_id = await split(store, WINDOW)
    for index in range(WINDOW):
        await end(store, task_id, index)
    record = await record_of(store, task_id)
    assert record.result is not None
    assert (record.result.stdout, record.result.stdout_truncated) == (b"0;1;2", True)


async def test_a_retry_waits_in_the_store_and_is_taken_up_by_one(url: str, store: Store) -> None:
    task_id = await split(store, 6, retry=Retry(max_attempts=2, backoff_seconds=10))
    failed = await end(store, task_id, 1, Outcome.FAILED)
    assert indexes(failed) == [4]
    assert failed.due_at is not None
    assert 5 <= (failed.due_at - NOW).total_seconds() <= 10
    waiting = (await chunks_of(store, task_id))[1]
    assert (waiting.state, waiting.due_at, waiting.attempt) == (ChunkState.WAITING, failed.due_at, 2)
    assert await due_of(store, task_id, timedelta(seconds=4)) == []
    async with open_store(url) as second:
        claims = await asyncio.gather(*(due_of(s, task_id, timedelta(10)) for s in (store, second) * 5))
    (due,) = [one for claim in claims for one in claim]
    chunk = await store.wake_chunk(due, NOW)
    assert chunk is not None
    assert (chunk.chunk_index, chunk.attempt) == (1, 2)
    assert await store.wake_chunk(due, NOW) is None
    await store.forget_timer(due)
    assert (await end(store, task_id, 1, Outcome.FAILED, attempt=2)).due_at is None
    assert (await record_of(store, task_id)).chunks_failed == 1


async def test_a_claim_that_ran_out_is_taken_up_again_and_emits_again(store: Store) -> None:
    task_id = await split(store, 1, retry=Retry(max_attempts=3, backoff_seconds=10))
    await end(store, task_id, 0, Outcome.FAILED)
    (first,) = await due_of(store, task_id, timedelta(seconds=11))
    assert await store.wake_chunk(first, NOW)
    assert await due_of(store, task_id, timedelta(seconds=12)) == []
    (second,) = await due_of(store, task_id, timedelta(seconds=50))
    assert (second.claims, (await store.wake_chunk(second, NOW)) is not None) == (2, True)
    # Its next failure sets the timer anew, which those who fired the last one must not take away.
    await end(store, task_id, 0, Outcome.FAILED, attempt=2)
    await store.forget_timer(first)
    await store.forget_timer(second)
    (third,) = await due_of(store, task_id, timedelta(days=1))
    assert third.claims == 1


async def test_of_two_attempts_the_first_success_wins(store: Store) -> None:
    task_id = await split(store, WINDOW)
    for index in range(WINDOW - 1):
        await store.start_chunk(task_id, index, 1, "r", NOW)
        await end(store, task_id, index)
    await store.start_chunk(task_id, 3, 1, "r", NOW)
    (due,) = await due_of(store, task_id, timedelta(minutes=1))
    assert due.kind is TimerKind.DUPLICATE
    patience = RULES.seconds_until_straggling
    early = await store.duplicate_stragglers(task_id, NOW + timedelta(seconds=0.5), patience, again=False)
    assert not early.emit
    assert early.look_at == NOW + timedelta(seconds=1)
    late = await store.duplicate_stragglers(task_id, NOW + timedelta(seconds=9), patience, again=False)
    assert [(chunk.chunk_index, chunk.attempt) for chunk in late.emit] == [(3, 2)]
    assert not (await store.duplicate_stragglers(task_id, NOW + timedelta(1), patience, again=False)).emit
    assert (await store.duplicate_stragglers(task_id, NOW + timedelta(1), patience, again=True)).emit == late.emit
    won = await end(store, task_id, 3, attempt=2)
    assert (won.newly_finished, won.cancel) == (True, [1])
    assert not (await end(store, task_id, 3, attempt=1)).kept


@pytest.mark.parametrize(("bad", "good"), [(1, 2), (2, 1)])
async def test_of_two_attempts_one_that_fails_leaves_it_to_the_other(store: Store, bad: int, good: int) -> None:
    task_id = await split(store, 2)
    await store.start_chunk(task_id, 0, 1, "r", NOW)
    await store.duplicate_stragglers(task_id, NOW + timedelta(seconds=9), RULES.seconds_until_straggling, again=False)
    failed = await end(store, task_id, 0, Outcome.FAILED, attempt=bad)
    assert (failed.kept, failed.emit, failed.finished) == (True, (), None)
    assert not (await end(store, task_id, 0, Outcome.FAILED, attempt=bad)).kept
    assert (await end(store, task_id, 0, attempt=good)).kept
    assert (await record_of(store, task_id)).chunks_succeeded == 1


async def test_a_number_that_a_dead_second_attempt_had_is_never_given_again(store: Store) -> None:
    task_id = await split(store, 1)
    await store.start_chunk(task_id, 0, 1, "r", NOW)
    await store.duplicate_stragglers(task_id, NOW + timedelta(seconds=9), RULES.seconds_until_straggling, again=False)
    assert (await end(store, task_id, 0, Outcome.LOST, attempt=2)).emit == ()
    replaced = await end(store, task_id, 0, Outcome.FAILED, attempt=2)
    assert not replaced.kept
    retried = replace(RULES, max_lost=9)
    lost = Ending(message=ended(task_id, 0, 1, Outcome.LOST), at=NOW)
    assert [chunk.attempt for chunk in (await store.record_ending(lost, retried.advance)).emit] == [3]
    assert not (await end(store, task_id, 0, attempt=2)).kept


async def test_only_what_has_not_started_expires(store: Store) -> None:
    at = NOW + timedelta(hours=1)
    late, running = await accepted(store, deadline=at), await accepted(store, deadline=at)
    for spec in (late, running):
        await store.open_chunks(opening(spec.task_id, 1, RULES.refill))
    await store.start_chunk(running.task_id, 0, 1, "r", NOW)
    assert await store.expire_task(running.task_id, at) is None
    expired = await store.expire_task(late.task_id, at)
    assert expired is not None
    assert expired.last_attempt == 1
    assert await store.expire_task(late.task_id, at) == expired
    assert (await record_of(store, late.task_id)).state is TaskState.EXPIRED
    assert not (await end(store, late.task_id, 0)).kept
    assert [one.kind for one in await due_of(store, late.task_id, timedelta(hours=2))] == [TimerKind.EXPIRE]


async def test_a_retried_task_runs_again_only_what_failed(store: Store) -> None:
    spec = await accepted(store)
    task_id = spec.task_id
    await store.open_chunks(opening(task_id, 6, RULES.refill))
    for index in range(6):
        await end(store, task_id, index, Outcome.FAILED if index in (1, 5) else Outcome.SUCCEEDED)
    retried = await store.retry_task(task_id, NOW)
    assert retried is not None
    assert (retried.state, retried.chunks, retried.task) == (TaskState.FAILED, 2, spec)
    again = await store.retry_task(task_id, NOW)
    assert again is not None
    assert (again.state, again.task) == (TaskState.QUEUED, None)
    opened = await store.open_chunks(opening(task_id, 6, RULES.refill))
    assert [(chunk.chunk_index, chunk.attempt) for chunk in opened] == [(1, 2), (5, 2)]
    assert not (await end(store, task_id, 1, attempt=1)).kept
    for index in (1, 5):
        await end(store, task_id, index, attempt=2)
    record = await record_of(store, task_id)
    assert record.result is not None
    assert (record.state, record.result.stdout) == (TaskState.SUCCEEDED, b"0;1;2;3;4;5;")
    assert await store.retry_task("unknown", NOW) is None


async def test_a_retried_task_of_many_chunks_finds_the_failed_ones_among_them(store: Store) -> None:
    task_id, failing = (await accepted(store)).task_id, (7, 1800, 2400)
    await store.open_chunks(opening(task_id, 2500, replace(RULES, window=lambda _pool, _seconds: 2500).refill))
    outcomes = [Outcome.FAILED if index in failing else Outcome.SUCCEEDED for index in range(2500)]
    await asyncio.gather(*(end(store, task_id, index, outcome) for index, outcome in enumerate(outcomes)))
    await store.retry_task(task_id, NOW)
    opened = await store.open_chunks(opening(task_id, 1, RULES.refill))
    assert [chunk.chunk_index for chunk in opened] == [7, 1800, 2400]
    for index in (1800, 7, 2400):
        await end(store, task_id, index, attempt=2)
    assert (await record_of(store, task_id)).state is TaskState.SUCCEEDED


async def test_a_cancelled_task_can_run_again_and_hears_nothing_of_before(store: Store) -> None:
    task_id = await split(store, 10)
    await end(store, task_id, 0)
    cancelled = await store.cancel_task(task_id, NOW)
    assert cancelled is not None
    assert (cancelled.last_attempt, cancelled.chunks_ready, cancelled.chunks_failed) == (1, 0, 9)
    assert Counter(chunk.state for chunk in await chunks_of(store, task_id)) == {ChunkState.FINISHED: 10}
    await store.retry_task(task_id, NOW)
    opened = await store.open_chunks(opening(task_id, 10, RULES.refill))
    assert [(chunk.chunk_index, chunk.attempt) for chunk in opened] == [(1, 2), (2, 2), (3, 2), (4, 2)]
    assert not (await end(store, task_id, 1, Outcome.CANCELLED, attempt=1)).kept


async def test_chunks_are_listed_by_page_state_and_outcome(store: Store) -> None:
    task_id = await split(store, 1500, split=Split(chunks=1500, reduce=Code(language="python", code="r")))
    await end(store, task_id, 0, Outcome.FAILED)
    await store.start_chunk(task_id, 1, 1, "runner", NOW)
    everything = await store.list_chunks(ChunkFilter(task_id=task_id, page_size=5000))
    assert everything is not None
    states = Counter(chunk.state for chunk in everything)
    ready, waiting = WINDOW - 1, 1500 - WINDOW
    assert states == {
        ChunkState.FINISHED: 1,
        ChunkState.RUNNING: 1,
        ChunkState.READY: ready,
        ChunkState.WAITING: waiting,
    }
    assert [chunk.chunk_index for chunk in everything] == list(range(1501))
    assert [chunk.reduce for chunk in everything[-2:]] == [False, True]
    assert [chunk.chunk_index for chunk in await chunks_of(store, task_id, outcomes=[Outcome.FAILED])] == [0]
    (running,) = await chunks_of(store, task_id, states=[ChunkState.RUNNING])
    assert (running.chunk_index, running.runner, running.started_at) == (1, "runner", NOW)
    assert [chunk.chunk_index for chunk in await chunks_of(store, task_id, after=1499)] == [1500]
    assert await store.list_chunks(ChunkFilter(task_id="unknown")) is None


async def paged(store: Store, task_id: str, wanted: dict[str, object]) -> list[int]:
    """The indexes of the chunks that pass the filter, read three at a time."""
    found: list[int] = []
    while True:
        page = ChunkFilter(task_id=task_id, page_size=3, after=found[-1] if found else -1, **wanted)  # type: ignore[arg-type]
        chunks = await store.list_chunks(page)
        assert chunks is not None
        found += [chunk.chunk_index for chunk in chunks]
        if len(chunks) < 3:
            return found


FILTERS: list[dict[str, object]] = [
    {},
    {"states": [ChunkState.WAITING]},
    {"states": [ChunkState.READY, ChunkState.RUNNING]},
    {"states": [ChunkState.FINISHED]},
    {"outcomes": [Outcome.FAILED]},
    {"outcomes": [Outcome.SUCCEEDED, Outcome.CANCELLED]},
    {"states": [ChunkState.FINISHED], "outcomes": [Outcome.CANCELLED]},
    {"states": [ChunkState.RUNNING], "outcomes": [Outcome.FAILED]},
]


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("ends", [1, 2], ids=["open", "cancelled"])
async def test_pages_of_some_chunks_are_what_a_filter_leaves_of_all(
    store: Store, wanted: dict[str, object], ends: int
) -> None:
    # Cancelled and retried once, so that among those with a row there are some without.
    task_id = await split(store, 20, retry=Retry(max_attempts=2, backoff_seconds=10))
    for index in (3, 2, 4, 6):
        await end(store, task_id, index)
    await store.cancel_task(task_id, NOW)
    await store.retry_task(task_id, NOW)
    await store.open_chunks(opening(task_id, 20, RULES.refill))
    await end(store, task_id, 0, Outcome.FAILED, attempt=2)
    await store.start_chunk(task_id, 1, 2, "r", NOW)
    if ends > 1:
        await store.cancel_task(task_id, NOW)
    everything = await chunks_of(store, task_id)
    states, outcomes = wanted.get("states", ChunkState), wanted.get("outcomes")
    left = [
        chunk.chunk_index
        for chunk in everything
        if chunk.state in states  # type: ignore[operator]
        and (not outcomes or (chunk.result is not None and chunk.result.outcome in outcomes))  # type: ignore[operator]
    ]
    assert [chunk.chunk_index for chunk in everything] == list(range(20))
    assert await paged(store, task_id, wanted) == left


async def test_queued_tasks_are_counted_by_tenant(store: Store) -> None:
    tenant = uuid4().hex
    before, _ = await store.count_queued()
    for _ in range(3):
        await accepted(store, labels={"tenant": tenant, "other": "x"})
    total, by_tenant = await store.count_queued()
    assert (total - before, by_tenant[tenant]) == (3, 3)
