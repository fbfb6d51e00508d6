"""What has been overtaken in its queue stays so, whatever is seen of the queue later."""

from datetime import UTC, datetime, timedelta

from services.dispatcher.stranded import served
from taskandgo.store.records import InFlight, OpenChunk, OpenTask
from taskandgo.words import ChunkState, Priority

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LINE = "default", Priority.NORMAL


def running(seconds_ago: float) -> OpenTask:
    """A task whose chunk was let in so long ago, and has begun."""
    at = NOW - timedelta(seconds=seconds_ago)
    chunk = InFlight(
        chunk=OpenChunk(chunk_index=0, chunk_count=1, attempt=1),
        duplicate=0,
        state=ChunkState.RUNNING,
        ready_at=at,
        started_at=at,
        runner="r",
    )
    return OpenTask(task_id="t", pool=LINE[0], priority=LINE[1], queued_at=at, awaited=False, chunks=[chunk])


def test_the_youngest_that_has_begun_counts_whichever_page_it_is_on() -> None:
    first = served([running(60), running(10)], NOW, {})
    assert first == {LINE: NOW - timedelta(seconds=10)}
    assert served([running(60)], NOW, first) == first
    assert served([], NOW, first) == first


def test_an_instant_that_is_still_to_come_does_not_count() -> None:
    before = {LINE: NOW + timedelta(hours=1)}
    assert served([running(60)], NOW, before) == {LINE: NOW - timedelta(seconds=60)}
    assert served([running(-60)], NOW, {}) == {}
