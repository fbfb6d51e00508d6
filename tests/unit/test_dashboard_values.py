"""What the dashboard's pages are made of: charts' lines, the chunks' grid, output as text, events, addresses."""

from datetime import UTC, datetime

import pytest
from starlette.datastructures import Headers

from services.monitor.dashboard.chunk_cells import MOST_CELLS, chunk_grid, neighbours
from services.monitor.dashboard.frames import Frame, event
from services.monitor.dashboard.guard import is_own, is_same_origin
from services.monitor.dashboard.history import STEP_SECONDS, STEPS, History
from services.monitor.dashboard.output_log import MOST_CHARACTERS, OutputLog
from services.monitor.dashboard.runner_rows import RunnerRow
from services.monitor.dashboard.tasks_page import Query, asked
from services.monitor.dashboard.troubles import find_troubles
from taskandgo.messages import ChunkOutput
from taskandgo.store.chunk_counts import ChunkCount
from taskandgo.words import ChunkState, Outcome, Stream, TaskState

NOW = 1_000_000.0


def wrote(data: bytes, offset: int = 0, stream: Stream = Stream.STDOUT) -> ChunkOutput:
    """A block of output."""
    return ChunkOutput(task_id="t", chunk_index=0, attempt=1, stream=stream, offset=offset, data=data)


def ended(cell: int, count: int, outcome: Outcome = Outcome.SUCCEEDED) -> ChunkCount:
    """Chunks of a cell that have finished."""
    return ChunkCount(cell=cell, state=ChunkState.FINISHED, outcome=outcome, count=count)


def test_rates_are_told_of_steps_that_are_over_and_were_counted() -> None:
    history = History()
    history.slots(NOW, 1, 4)
    history.counting = True
    history.finished(NOW + STEP_SECONDS, TaskState.SUCCEEDED)
    history.finished(NOW + STEP_SECONDS, TaskState.EXPIRED)
    history.finished(NOW + STEP_SECONDS, TaskState.CANCELLED)
    lines = history.lines(NOW + 2 * STEP_SECONDS)
    assert (lines.succeeded, lines.failed) == ([None, 1 / STEP_SECONDS], [None, 1 / STEP_SECONDS])
    assert (lines.busy, lines.slots) == ([1, None], [4, None])
    assert history.per_second(NOW + 2 * STEP_SECONDS, 60) == (1 / STEP_SECONDS, 1 / STEP_SECONDS)


def test_a_million_events_leave_a_quarter_of_an_hour() -> None:
    history = History(counting=True)
    for second in range(10_000):
        history.waits.extend([1.0] * 100)
        history.finished(NOW + second, TaskState.SUCCEEDED)
    assert len(history.steps) == STEPS + 1
    assert len(history.lines(NOW + 10_000).at) == STEPS


def test_the_wait_for_a_start_is_told_by_its_median_and_its_tail() -> None:
    history = History()
    assert history.wait_seconds() is None
    history.waits.extend(float(seconds) for seconds in range(101))
    assert history.wait_seconds() == (50.0, 95.0)


def test_each_chunk_of_few_has_a_cell() -> None:
    counts = [
        ended(0, 1),
        ended(1, 1, Outcome.TIMED_OUT),
        ended(2, 1, Outcome.CANCELLED),
        ChunkCount(cell=3, state=ChunkState.RUNNING, outcome=None, count=1),
        ChunkCount(cell=4, state=ChunkState.READY, outcome=None, count=1),
    ]
    grid = chunk_grid(6, counts, final=False)
    assert (grid.cells, grid.together) == ("sfxrqw", 1)
    assert grid.counts == {"s": 1, "f": 1, "x": 1, "r": 1, "q": 1, "w": 1}


def test_a_hundred_thousand_chunks_are_a_thousand_cells() -> None:
    assert neighbours(100_000) == 100
    grid = chunk_grid(100_000, [ended(0, 100), ended(1, 99), ended(2, 99), ended(2, 1, Outcome.FAILED)], final=False)
    assert len(grid.cells) == MOST_CELLS
    assert grid.cells[:4] == "spfw"
    assert grid.counts == {"s": 298, "f": 1, "w": 99_701}


def test_what_was_never_emitted_of_a_finished_task_never_ran() -> None:
    assert chunk_grid(3, [ended(0, 1)], final=True).cells == "sxx"


def test_the_last_cell_may_hold_fewer() -> None:
    grid = chunk_grid(1001, [], final=False)
    assert (len(grid.cells), grid.together, grid.counts) == (501, 2, {"w": 1001})


def test_a_character_that_is_cut_in_two_is_put_together() -> None:
    log = OutputLog()
    both = "é".encode()
    log.take(wrote(both[:1]))
    log.take(wrote(b"x", stream=Stream.STDERR))
    log.take(wrote(both[1:], offset=1))
    blocks, gap = log.since(0)
    assert [(block.stream, block.text) for block in blocks] == [(Stream.STDERR, "x"), (Stream.STDOUT, "é")]
    assert not gap


def test_the_newest_output_is_kept_and_what_is_missing_is_told() -> None:
    log = OutputLog()
    log.take(wrote(b"a" * MOST_CHARACTERS, offset=7))
    assert log.since(0)[0][0].missed_bytes == 7
    log.take(wrote(b"b", offset=7 + MOST_CHARACTERS))
    blocks, gap = log.since(0)
    assert ([block.text for block in blocks], gap) == (["b"], True)
    assert log.since(log.end) == ([], False)


def test_no_line_end_of_any_kind_ends_a_line_of_an_event() -> None:
    sent = Frame("place", "a\rdata: b\r\nevent: c\n\nd").encoded().decode()
    assert sent.endswith("</hx-partial>\n\n")
    assert all(line.startswith("data: ") for line in sent.removesuffix("\n\n").split("\n"))
    assert "\r" not in sent
    assert event("output", "a\nb\r").encoded() == b'event: output\ndata: "a\\nb\\r"\n\n'


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8081", "[::1]:8081", "localhost:8081", "monitor", "A.Own.Example:80"]
)
def test_these_hosts_are_its_own(host: str) -> None:
    assert is_own(host, frozenset({"a.own.example"}))


@pytest.mark.parametrize(
    "host", ["rebound.example", "rebound.example:8081", "127.0.0.1.rebound.example", "own.example"]
)
def test_these_may_be_somebody_elses(host: str) -> None:
    assert not is_own(host, frozenset({"a.own.example"}))


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"origin": "http://h:1", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://h:1"}, True),
        ({"origin": "http://h:2"}, False),
        ({"origin": "http://h:1", "sec-fetch-site": "cross-site"}, False),
        ({}, False),
    ],
)
def test_who_sends_a_form(headers: dict[str, str], *, same: bool) -> None:
    assert is_same_origin(Headers(headers), "h:1") is same


def test_an_address_asks_for_the_same_again() -> None:
    query = asked({"state": "failed", "priority": "high", "q": " a=b&c "})
    assert query == Query(state="failed", priority="high", text="a=b&c")
    assert query.address((datetime(2026, 1, 1, tzinfo=UTC), "t")).startswith(
        "state=failed&priority=high&q=a%3Db%26c&after="
    )
    assert asked({"state": "x", "priority": "y", "after": "z"}) == Query()


def live(pool: str) -> RunnerRow:
    """A runner of this pool."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return RunnerRow(
        runner="r", pool=pool, state="live", slots=1, busy=0, languages=(), isolation="strict", heard_at=at
    )


@pytest.mark.parametrize(
    ("waiting", "pools", "found"),
    [
        ({"default": 3}, ["default"], []),
        ({"gpu": 0}, ["default"], []),
        ({"default": 3, "gpu": 2}, ["default"], ["No runner of pool gpu is alive, with 2 tasks waiting."]),
        ({"default": 1}, [], ["No runner of pool default is alive, with 1 task waiting."]),
        ({}, [], ["No runner is alive."]),
        (None, ["default"], ["The store is away: tasks cannot be accepted or recorded."]),
    ],
)
def test_a_pool_that_nobody_serves_is_a_trouble(
    waiting: dict[str, int] | None, pools: list[str], found: list[str]
) -> None:
    assert find_troubles(True, waiting, [live(pool) for pool in pools], 0) == found  # noqa: FBT003 - as it is called
