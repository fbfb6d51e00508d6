"""How a task may refer to blobs, and when its own input becomes one."""

from datetime import UTC, datetime

import grpc
import pytest

from services.ingest.blob_rules import NO_BLOBS, Blobs, blob_names
from services.ingest.set_aside_input import large_input, set_aside
from services.ingest.task_rules import TaskRules
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import RefusalError
from taskandgo.store.blob_records import BlobRecord
from taskandgo.task import BlobRef, Lines, LinesBlob, TaskSpec
from taskandgo.words import Strategy

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WITH = TaskRules(Strategy.BATCH, 1000, 10, 50, max_blob_bytes=2_000_000)
WITHOUT = TaskRules(Strategy.BATCH, 1000, 10, 50)
A, B = "a" * 64, "b" * 64
THERE: Blobs = {A: BlobRecord(sha256=A, size_bytes=10, lines=3)}
GOOD = "python:pass"


def spec(task: api.Task, rules: TaskRules = WITH, blobs: Blobs = THERE) -> TaskSpec:
    return rules.spec(task, NOW, blobs)


def test_a_blob_that_is_there_is_kept_as_a_reference() -> None:
    assert spec(api.Task(data=GOOD, stdin_blob=A)).stdin_blob == BlobRef(sha256=A, size_bytes=10)
    split = spec(api.Task(data=GOOD, split=api.Split(lines_blob=A, chunks=2, min_succeeded=2))).split
    assert split is not None
    assert split.by == LinesBlob(blob=BlobRef(sha256=A, size_bytes=10), lines=3)


@pytest.mark.parametrize(
    ("task", "field", "said"),
    [
        (api.Task(data=GOOD, stdin_blob=B), "task.stdin_blob", "there is no blob"),
        (api.Task(data=GOOD, stdin_blob="A" * 64), "task.stdin_blob", "64 characters out of 0-9 a-f"),
        (api.Task(data=GOOD, stdin_blob=A, stdin=b"x"), "task.stdin_blob", "leave one of them out"),
        (api.Task(data=GOOD, split=api.Split(lines_blob=B)), "task.split.lines_blob", "upload it with PutBlob"),
        (api.Task(data=GOOD, split=api.Split(lines_blob="")), "task.split.lines_blob", "64 characters"),
        (api.Task(data=GOOD, split=api.Split(lines_blob=A, min_succeeded=4)), "task.split.min_succeeded", "most 3"),
        (api.Task(data=GOOD, split=api.Split(lines_blob=A), stdin=b"x"), "task.stdin", "must be empty"),
        (api.Task(data=GOOD, split=api.Split(lines_blob=A), stdin_blob=A), "task.stdin_blob", "must be empty"),
        (api.Task(data=GOOD, stdin=bytes(2_000_001)), "task.stdin", "at most 2000000"),
        (api.Task(data="python:" + "#" * 1000), "task.data", "at most 1000 are allowed for code"),
    ],
)
def test_a_wrong_reference_is_refused_by_its_field(task: api.Task, field: str, said: str) -> None:
    with pytest.raises(RefusalError) as caught:
        spec(task)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in [violation.field for violation in caught.value.violations]
    assert said in caught.value.message


def test_without_blobs_a_reference_is_refused_and_input_counts_like_code() -> None:
    with pytest.raises(RefusalError, match="keeps no blobs"):
        spec(api.Task(data=GOOD, stdin_blob=A), WITHOUT, NO_BLOBS)
    with pytest.raises(RefusalError, match="code and input together"):
        spec(api.Task(data=GOOD, stdin=bytes(1001)), WITHOUT, NO_BLOBS)


def test_only_what_can_be_a_blob_is_looked_up() -> None:
    assert blob_names(api.Task(stdin_blob=A, split=api.Split(lines_blob="x"))) == [A]
    assert blob_names(api.Task()) == []


@pytest.mark.parametrize(("size", "large"), [(0, False), (262_140, False), (262_141, True), (1_000_000, True)])
def test_input_is_set_aside_when_the_task_would_be_too_large_for_a_message(size: int, large: bool) -> None:  # noqa: FBT001
    task = spec(api.Task(data=GOOD, stdin=bytes(size)))
    assert (large_input(task) == bytes(size)) is large or size == 0


def test_little_input_stays_whatever_the_code_is() -> None:
    task = TaskRules(Strategy.BATCH, 1_000_000, 10, 50, 1_000_000).spec(
        api.Task(data="python:" + "#" * 500_000, stdin=bytes(1000)), NOW
    )
    assert large_input(task) == b""


@pytest.mark.parametrize("end", ["", "\n"])
def test_items_and_lines_are_set_aside_as_lines(end: str) -> None:
    lines = [f'"{number:06}"' for number in range(50_000)]
    text = ("\n".join(lines) + end).encode()
    by_items = api.Task(data=GOOD, split=api.Split(items=api.Items(json=lines)))
    by_lines = api.Task(data=GOOD, split=api.Split(lines=text))
    for task, content in ((by_items, ("\n".join(lines) + "\n").encode()), (by_lines, text)):
        kept = spec(task)
        assert large_input(kept) == content
        small, sent = set_aside(kept, task, content)
        assert small.split is not None
        assert isinstance(small.split.by, LinesBlob)
        assert small.split.by.lines == 50_000
        assert sent.split.lines_blob == small.split.by.blob.sha256
        assert not sent.split.lines
        assert not isinstance(small.split.by, Lines)
