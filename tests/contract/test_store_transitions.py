"""What every store promises its services, proved on SQLite and on PostgreSQL."""

import asyncio
import sqlite3
import sys
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from taskandgo.errors import StoreAwayError
from taskandgo.messages import ChunkFinished
from taskandgo.store.connect import open_store
from taskandgo.store.migrate import migrate
from taskandgo.store.records import Acceptance, Due, Recorded, TaskFilter, Unconfirmed
from taskandgo.store.store import Store
from taskandgo.task import AttemptResult
from taskandgo.words import Outcome, TaskState, TimerKind
from tests.contract.store_steps import NOW, RULES, end, ended, lose, opened, opening, submission
from tests.servers.postgres import private_postgres
from tests.servers.rabbitmq import free_port


async def test_same_id_is_accepted_once_and_told_apart_by_content(store: Store) -> None:
    item = submission()
    assert await store.accept_task(item) is Acceptance.ACCEPTED
    assert await store.accept_task(item) is Acceptance.SAME
    assert await store.accept_task(submission(b"b", item.task.task_id)) is Acceptance.OTHER


async def test_500_concurrent_accepts_are_all_kept(store: Store) -> None:
    items = [submission() for _ in range(500)]
    assert await asyncio.gather(*map(store.accept_task, items)) == [Acceptance.ACCEPTED] * 500


async def test_a_batch_answers_for_duplicates_inside_it(store: Store) -> None:
    first, other = submission(), submission()
    different = submission(b"b", first.task.task_id)
    answers = await store.accept_tasks([first, other, first, different])
    assert answers == [Acceptance.ACCEPTED, Acceptance.ACCEPTED, Acceptance.SAME, Acceptance.OTHER]


async def test_a_full_batch_may_carry_all_the_labels_it_is_allowed(store: Store) -> None:
    labels = {f"key{number}": "value" for number in range(32)}
    answers = await store.accept_tasks([submission(labels=labels) for _ in range(400)])
    assert answers == [Acceptance.ACCEPTED] * 400


async def test_outbox_holds_a_task_until_it_is_confirmed(store: Store) -> None:
    item = submission(at=NOW - timedelta(days=9000))
    await store.accept_task(item)
    before = NOW - timedelta(days=8999)
    assert [one.task for one in await claimed(store, before)] == [item.task]
    assert await claimed(store, before) == [], "it was taken up only just"
    after = NOW + timedelta(seconds=1)
    assert item.task in [one.task for one in await claimed(store, after)], "whoever took it up may have died"
    await store.confirm_published(item.task.task_id, "task.submitted")
    assert item.task not in [one.task for one in await claimed(store, after + timedelta(seconds=1))]


async def claimed(store: Store, older_than: datetime) -> list[Unconfirmed]:
    """What is to be published again now; from now on it counts as published at NOW."""
    return await store.claim_unconfirmed("task.submitted", 10_000, older_than, NOW)


async def test_of_many_ingests_one_publishes_again_what_was_not_confirmed(store: Store) -> None:
    items = [submission(at=NOW - timedelta(days=8000)) for _ in range(20)]
    await store.accept_tasks(items)
    before = NOW - timedelta(days=7999)
    found = await asyncio.gather(*(claimed(store, before) for _ in range(8)))
    published = [one.task.task_id for page in found for one in page]
    assert sorted(published) == sorted(item.task.task_id for item in items)


async def test_a_task_that_is_to_run_again_is_never_read_as_ended_without_its_result(store: Store) -> None:
    for _ in range(50):
        task_id = await opened(store)
        await end(store, ended(task_id, outcome=Outcome.FAILED))
        readings = [store.get_task(task_id) for _ in range(8)]
        *found, _ = await asyncio.gather(*readings, store.retry_task(task_id, NOW))
        for record in found:
            assert record
            assert record.result or record.state is TaskState.QUEUED


async def test_opening_chunks_again_changes_nothing(store: Store) -> None:
    task_id = await opened(store, 2)
    await end(store, ended(task_id, 0))
    assert await store.open_chunks(opening(task_id, 7, RULES.refill)) == []
    again = await store.open_chunks(opening(task_id, 7, RULES.refill, again=True))
    assert [(chunk.chunk_index, chunk.chunk_count, chunk.attempt) for chunk in again] == [(1, 2, 1)]
    assert await store.open_chunks(opening("unknown", 1, RULES.refill)) == []


async def test_20_concurrent_duplicates_are_recorded_once(store: Store) -> None:
    task_id = await opened(store)
    answers = await asyncio.gather(*(end(store, ended(task_id)) for _ in range(20)))
    assert sum(answer.kept for answer in answers) == 1
    assert sum(answer.newly_finished for answer in answers) == 1
    assert all(answer.finished and answer.finished.state is TaskState.SUCCEEDED for answer in answers)


async def test_a_late_attempt_does_not_displace_the_present_one_in_the_same_commit(store: Store) -> None:
    task_id = await opened(store)
    await lose(store, task_id, 1)
    late, present = await asyncio.gather(
        end(store, ended(task_id, attempt=1, stdout=b"late")),
        end(store, ended(task_id, attempt=2, stdout=b"present")),
    )
    assert (late.kept, present.kept) == (False, True)
    record = await store.get_task(task_id)
    assert record is not None
    assert record.result is not None
    assert (record.result.stdout, record.attempt) == (b"present", 2)


async def test_output_keeps_its_bytes_in_chunk_order_and_a_failure_tells(store: Store) -> None:
    task_id, block = await opened(store, 2), bytes(range(256))
    await end(store, ended(task_id, 0, outcome=Outcome.FAILED, stdout=block))
    recorded = await end(store, ended(task_id, 1, stdout=b"end"))
    assert recorded.finished is not None
    assert (recorded.finished.state, recorded.finished.outcome) == (TaskState.FAILED, Outcome.FAILED)
    record = await store.get_task(task_id)
    assert record is not None
    assert record.result is not None
    assert record.result.stdout == block + b"end"
    assert (record.chunks_succeeded, record.chunks_failed) == (1, 1)


async def test_a_reason_with_nul_is_recorded(store: Store) -> None:
    task_id = await opened(store)
    message = ended(task_id)
    result = AttemptResult(outcome=Outcome.FAILED, reason="a\0b")
    nul = ChunkFinished(**{name: getattr(message, name) for name in message.__struct_fields__} | {"result": result})
    assert (await end(store, nul)).kept


async def test_only_deaths_while_running_count_as_lost(store: Store) -> None:
    task_id = await opened(store)
    assert [chunk.attempt for chunk in (await lose(store, task_id, 1)).emit] == [2]
    assert [chunk.attempt for chunk in (await lose(store, task_id, 1, redelivered=True)).emit] == [2]
    await store.start_chunk(task_id, 0, 2, "r", NOW)
    assert not (await lose(store, task_id, 1, redelivered=True)).emit
    assert [chunk.attempt for chunk in (await lose(store, task_id, 2)).emit] == [3]
    await store.start_chunk(task_id, 0, 3, "r", NOW)
    given_up = await lose(store, task_id, 3)
    assert given_up.finished is not None
    assert (given_up.finished.state, given_up.finished.outcome) == (TaskState.FAILED, Outcome.LOST)


async def test_a_chunk_that_is_lost_again_and_again_before_it_starts_is_given_up(store: Store) -> None:
    task_id = await opened(store)
    handed_back = ended(task_id, attempt=1, outcome=Outcome.LOST)
    assert (await end(store, msgspec.structs.replace(handed_back, alive=True))).emit
    assert (await lose(store, task_id, 2)).emit
    assert await woken_after_loss(store, task_id, 3)
    given_up = await lose(store, task_id, 4)
    assert (given_up.given_up, given_up.finished and given_up.finished.outcome) == (True, Outcome.LOST)
    record = await store.get_task(task_id)
    assert record is not None
    assert record.result is not None
    assert record.result.reason == "given up: it was lost with its runner 3 times in a row before it was seen to run"


async def test_what_was_seen_to_run_meanwhile_is_not_lost_in_a_row(store: Store) -> None:
    task_id = await opened(store)
    await lose(store, task_id, 1)
    await woken_after_loss(store, task_id, 2)
    await store.start_chunk(task_id, 0, 3, "r", NOW)
    for attempt in (3, 4):
        assert (await lose(store, task_id, attempt)).emit
    assert await woken_after_loss(store, task_id, 5)


async def woken_after_loss(store: Store, task_id: str, attempt: int) -> bool:
    """Whether the chunk waits when it is lost, and goes on as the next attempt."""
    lost = await lose(store, task_id, attempt)
    due = Due(task_id=task_id, kind=TimerKind.RETRY, chunk_index=0, claims=1, claimed_until=NOW)
    awake = await store.wake_chunk(due, NOW)
    return not lost.emit and lost.due_at is not None and awake is not None and awake.attempt == attempt + 1


async def test_starting_makes_the_task_running_with_an_aware_instant(store: Store) -> None:
    task_id = await opened(store)
    await store.start_chunk(task_id, 0, 9, "r", NOW)
    before = await store.get_task(task_id)
    assert before is not None
    assert before.state is TaskState.QUEUED
    await store.start_chunk(task_id, 0, 1, "r", NOW)
    record = await store.get_task(task_id)
    assert record is not None
    assert (record.state, record.started_at, record.queued_at) == (TaskState.RUNNING, NOW, NOW)
    assert record.started_at is not None
    assert record.started_at.utcoffset() == timedelta(0)


async def test_cancelling_and_recording_at_once_leave_one_final_state(url: str, store: Store) -> None:
    async with open_store(url) as second:
        for _ in range(10):
            task_id = await opened(store)
            results: tuple[Recorded, object] = await asyncio.gather(
                end(store, ended(task_id)), second.cancel_task(task_id, NOW)
            )
            record = await store.get_task(task_id)
            assert record is not None
            final = TaskState.SUCCEEDED if results[0].newly_finished else TaskState.CANCELLED
            assert record.state is final
            assert (await end(store, ended(task_id))).kept is False


async def test_cancelling_an_unknown_task_says_none_and_a_repeat_changes_nothing(store: Store) -> None:
    assert await store.cancel_task("unknown", NOW) is None
    task_id = await opened(store)
    first = await store.cancel_task(task_id, NOW)
    again = await store.cancel_task(task_id, NOW + timedelta(1))
    assert first is not None
    assert first == again
    assert first.state is TaskState.CANCELLED
    assert await store.open_chunks(opening(task_id, 1, RULES.refill)) == []


async def test_many_are_cancelled_or_expire_at_once(store: Store) -> None:
    cancelled = await asyncio.gather(*(opened(store) for _ in range(5)))
    records = await asyncio.gather(*(store.cancel_task(task_id, NOW) for task_id in cancelled))
    assert [record and record.state for record in records] == [TaskState.CANCELLED] * 5
    late = await asyncio.gather(*(opened(store) for _ in range(5)))
    expired = await asyncio.gather(*(store.expire_task(task_id, NOW) for task_id in late))
    assert [one and one.task_id for one in expired] == list(late)


async def test_lists_filter_by_label_and_page_without_gaps(store: Store) -> None:
    mark = uuid4().hex
    items = [submission(at=NOW + timedelta(seconds=n // 2), labels={"mark": mark, "n": str(n)}) for n in range(7)]
    await store.accept_tasks(items)
    seen: list[str] = []
    after = None
    while page := await store.list_tasks(TaskFilter(labels={"mark": mark}, page_size=3, after=after)):
        seen += [record.task_id for record in page]
        after = (page[-1].queued_at, page[-1].task_id)
    assert sorted(seen) == sorted(item.task.task_id for item in items)
    one = await store.list_tasks(TaskFilter(labels={"mark": mark, "n": "4"}, states=[TaskState.QUEUED]))
    assert [record.task_id for record in one] == [items[4].task.task_id]
    late = TaskFilter(labels={"mark": mark}, queued_after=NOW + timedelta(seconds=1))
    assert len(await store.list_tasks(late)) == 5


async def test_unfinished_names_open_and_running_chunks(store: Store) -> None:
    task_id = await opened(store, 2)
    await store.start_chunk(task_id, 1, 1, "r", NOW)
    found = {task.task.task_id: task for task in await store.unfinished("", 10_000)}[task_id]
    assert [chunk.chunk_index for chunk in found.ready] == [0]
    assert [chunk.chunk_index for chunk in found.running] == [1]
    assert (await store.count_by_state())[TaskState.RUNNING] >= 1
    waiting = await store.waiting()
    assert sum(level.running for level in waiting) >= 1
    assert all(level.oldest_queued_at.tzinfo for level in waiting if level.oldest_queued_at)


async def test_a_caller_that_gives_up_harms_nobody(store: Store) -> None:
    items = [submission() for _ in range(5)]
    calls = [asyncio.ensure_future(store.accept_task(item)) for item in items]
    await asyncio.sleep(0)
    calls[0].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers[1:] == [Acceptance.ACCEPTED] * 4


async def test_many_processes_may_migrate_at_once(tmp_path: Path) -> None:
    with private_postgres() as postgres:
        for address in (f"sqlite:///{tmp_path / 'fresh.db'}", postgres):
            code = f"import asyncio; from taskandgo.store.migrate import migrate; asyncio.run(migrate({address!r}))"
            processes = [await asyncio.create_subprocess_exec(sys.executable, "-c", code) for _ in range(5)]
            assert await asyncio.gather(*(process.wait() for process in processes)) == [0] * 5
            async with open_store(address) as store:
                assert await store.accept_task(submission()) is Acceptance.ACCEPTED


async def test_connections_that_the_server_closed_are_replaced_unnoticed(postgres_url: str) -> None:
    async with open_store(postgres_url) as store:
        await asyncio.gather(store.ping(), store.accept_task(submission()))
        closing = await asyncpg.connect(postgres_url)
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        assert await closing.fetch(f"{others} AND pid <> pg_backend_pid()")
        await closing.close()
        await asyncio.gather(store.ping(), store.accept_task(submission()))


async def test_a_server_that_stops_is_away() -> None:
    with ExitStack() as server:
        async with open_store(server.enter_context(private_postgres())) as store:
            await store.accept_task(submission())
            server.close()
            for _ in range(2):
                with pytest.raises(StoreAwayError):
                    await store.accept_task(submission())
                with pytest.raises(StoreAwayError):
                    await store.ping()


async def test_an_unreachable_store_is_away(tmp_path: Path) -> None:
    for address in (f"postgresql://postgres@127.0.0.1:{free_port()}/none", f"sqlite:///{tmp_path / 'no' / 'such.db'}"):
        with pytest.raises(StoreAwayError):
            await migrate(address)


async def test_a_store_that_somebody_else_locks_is_not_corrupted(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    async with open_store(f"sqlite:///{path}") as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(store.accept_task(submission()))
        await asyncio.sleep(0)
        holder.execute("ROLLBACK")
        holder.close()
        assert await waiting is Acceptance.ACCEPTED
