"""What people find in the store, and how a task's chunks are counted, on SQLite and on PostgreSQL."""

from datetime import timedelta
from itertools import count
from uuid import uuid4

import pytest

from taskandgo.store import search
from taskandgo.store.chunk_counts import ChunkCount
from taskandgo.store.search import FoundTasks, TaskSearch
from taskandgo.store.store import Store
from taskandgo.words import ChunkState, Outcome, Priority, TaskState
from tests.contract.store_steps import NOW, end, ended, opened, submission

#: Each time a day later, since other tests share the database.
LATER = (NOW + timedelta(days=days) for days in count(365))


async def three(store: Store) -> list[str]:
    """Three tasks that are newer than all others, the newest first; the second has been cancelled."""
    mark, newest = uuid4().hex, next(LATER)
    names = [f"{mark}-{number}" for number in range(3)]
    for number, name in enumerate(names):
        await store.accept_task(
            submission(
                task_id=name, at=newest - timedelta(seconds=number), labels={"mark": mark, "number": str(number)}
            )
        )
    await store.cancel_task(names[1], NOW)
    return names


def ids(found: FoundTasks) -> list[str]:
    return [record.task_id for record in found.tasks]


async def test_the_newest_come_first_a_page_at_a_time(store: Store) -> None:
    names = await three(store)
    text = names[0].partition("-")[0]
    first = await store.search_tasks(TaskSearch(text=text, page_size=2))
    assert ids(first) == names[:2]
    rest = await store.search_tasks(TaskSearch(text=text, page_size=2, after=first.next))
    assert ids(rest) == names[2:]
    assert rest.next is None


async def test_tasks_are_found_by_state_priority_and_label(store: Store) -> None:
    names = await three(store)
    mark = names[0].partition("-")[0]
    cancelled = TaskSearch(text=f"mark={mark}", states=[TaskState.CANCELLED])
    assert ids(await store.search_tasks(cancelled)) == [names[1]]
    assert ids(await store.search_tasks(TaskSearch(text=f"mark={mark}"))) == names
    assert ids(await store.search_tasks(TaskSearch(text=f"mark={mark}", priority=Priority.LOW))) == []


@pytest.mark.parametrize("text", ["%", "_____", "\\", "'"])
async def test_signs_that_databases_know_mean_themselves(store: Store, text: str) -> None:
    await three(store)
    assert ids(await store.search_tasks(TaskSearch(text=text))) == []


async def test_one_look_is_bounded_and_can_be_taken_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LOOKED_THROUGH", 2)
    names = await three(store)
    label = "number=2"
    found = await store.search_tasks(TaskSearch(text=label))
    assert names[2] not in ids(found)
    assert found.searched
    assert found.next is not None
    assert ids(await store.search_tasks(TaskSearch(text=label, after=found.next)))[0] == names[2]


async def test_the_task_of_exactly_that_id_is_found_however_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LOOKED_THROUGH", 1)
    names = await three(store)
    assert ids(await store.search_tasks(TaskSearch(text=names[2]))) == [names[2]]
    assert ids(await store.search_tasks(TaskSearch(text=names[2], states=[TaskState.FAILED]))) == []


async def test_what_runs_is_found(store: Store) -> None:
    task_id = await opened(store)
    await store.start_chunk(task_id, 0, 1, "r", NOW)
    assert task_id in [record.task_id for record in await store.running_tasks()]
    await end(store, ended(task_id))
    assert task_id not in [record.task_id for record in await store.running_tasks()]


async def test_chunks_are_counted_by_neighbourhoods(store: Store) -> None:
    task_id = await opened(store, 5)
    await end(store, ended(task_id, 0))
    await end(store, ended(task_id, 1, outcome=Outcome.FAILED))
    await store.start_chunk(task_id, 2, 1, "r", NOW)
    counts = await store.count_chunks(task_id, 5, 2)
    assert sorted(counts, key=lambda one: (one.cell, one.outcome or "", one.state)) == [
        ChunkCount(cell=0, state=ChunkState.FINISHED, outcome=Outcome.FAILED, count=1),
        ChunkCount(cell=0, state=ChunkState.FINISHED, outcome=Outcome.SUCCEEDED, count=1),
        ChunkCount(cell=1, state=ChunkState.READY, outcome=None, count=1),
        ChunkCount(cell=1, state=ChunkState.RUNNING, outcome=None, count=1),
        ChunkCount(cell=2, state=ChunkState.READY, outcome=None, count=1),
    ]


async def test_a_task_is_told_without_its_result(store: Store) -> None:
    task_id = await opened(store)
    await end(store, ended(task_id, stdout=b"much"))
    row = await store.task_row(task_id)
    assert row is not None
    assert (row.state, row.result) == (TaskState.SUCCEEDED, None)
    assert await store.task_row("no-such") is None
