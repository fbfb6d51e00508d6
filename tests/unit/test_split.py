"""Cutting: every element goes to exactly one chunk, in order, and chunks are of one size but for one element."""

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.strategies.split import CHUNKS_A_SLOT, Share, bounds, chunk_count, cut, share
from taskandgo.task import Items, Lines, Range, Split, TaskSpec
from taskandgo.words import Priority, Strategy

AT = datetime(2026, 1, 2, tzinfo=UTC)

CHUNKS = st.integers(1, 50)
INT64 = st.integers(-(2**63), 2**63 - 1)


def spec(split: Split | None, stdin: bytes = b"") -> TaskSpec:
    return TaskSpec(
        task_id="t",
        priority=Priority.NORMAL,
        language="python",
        code="1",
        queued_at=AT,
        strategy=Strategy.SPLIT,
        split=split,
        stdin=stdin,
    )


def shares(split: Split) -> list[Share]:
    task = spec(split)
    count = chunk_count(task, 2)
    return [share(cut(task), count, index) for index in range(count)]


@given(st.integers(1, 10**20), CHUNKS)
def test_bounds_are_gapless_and_even(elements: int, count: int) -> None:
    parts = [bounds(elements, count, index) for index in range(count)]
    assert parts[0][0] == 0
    assert parts[-1][1] == elements
    assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))
    sizes = [stop - start for start, stop in parts]
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=80), CHUNKS)
def test_lines_come_back_byte_for_byte(blocks: list[bytes], chunks: int) -> None:
    text = b"\n".join(blocks) or b"\n"
    found = shares(Split(chunks=chunks, by=Lines(text=text)))
    assert b"".join(one.stdin for one in found) == text
    assert all(one.stdin.endswith(b"\n") for one in found[:-1])
    sizes = [one.stdin.count(b"\n") + (not one.stdin.endswith(b"\n")) for one in found]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.integers().map(str), min_size=1, max_size=80), CHUNKS)
def test_items_come_back_in_order(items: list[str], chunks: int) -> None:
    found = shares(Split(chunks=chunks, by=Items(json=items)))
    assert b"".join(one.stdin for one in found).decode().splitlines() == items
    assert len(found) == min(chunks, len(items))


@given(INT64, st.integers(-1000, 1000).filter(bool), st.integers(1, 500), st.integers(0, 999), CHUNKS)
def test_ranges_hold_every_number_once(start: int, step: int, count: int, beyond: int, chunks: int) -> None:
    stop = start + step * count - (beyond % abs(step)) * (1 if step > 0 else -1)
    found = shares(Split(chunks=chunks, by=Range(start=start, stop=stop, step=step)))
    names = ("RANGE_START", "RANGE_STOP", "RANGE_STEP")
    numbers = [n for one in found for n in range(*(int(one.env[name]) for name in names))]
    assert numbers == list(range(start, stop, step))


def test_a_range_may_have_more_numbers_than_a_word_can_count() -> None:
    task = spec(Split(chunks=3, by=Range(start=-(2**63), stop=2**63 - 1)))
    assert chunk_count(task, 1) == 3
    assert share(cut(task), 3, 2).env["RANGE_STOP"] == str(2**63 - 1)


@pytest.mark.parametrize(
    ("split", "count"),
    [
        (None, 1),
        (Split(), 1),
        (Split(chunks=7), 7),
        (Split(chunks=7, by=Items(json=["1", "2"])), 2),
        (Split(by=Items(json=["1", "2"])), 2),
        (Split(by=Range(start=0, stop=1000)), 3 * CHUNKS_A_SLOT),
    ],
)
def test_how_many_chunks_a_task_becomes_on_three_slots(split: Split | None, count: int) -> None:
    assert chunk_count(spec(split), 3) == count


def test_without_a_cut_every_chunk_reads_the_same() -> None:
    task = spec(Split(chunks=2), stdin=b"all")
    assert [share(cut(task), 2, index).stdin for index in range(2)] == [b"all", b"all"]
