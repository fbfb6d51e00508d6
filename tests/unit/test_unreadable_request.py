"""Bytes that are no protobuf message are refused by the field that is wrong."""

import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.unreadable_request import unreadable


def with_bad_text(message: api.SubmitTaskRequest) -> bytes:
    """The message's bytes, with every `?` no longer UTF-8."""
    return message.SerializeToString().replace(b"?", b"\xff")


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        (api.Task(data="python:?"), ["task.data"]),
        (api.Task(task_id="?", data="python:1"), ["task.task_id"]),
        (api.Task(labels={"k": "v?"}), ["task.labels.value"]),
        (api.Task(priority="?", env={"?": "v"}), ["task.priority", "task.env.key"]),
    ],
)
def test_the_field_that_is_not_utf8_is_named(task: api.Task, fields: list[str]) -> None:
    refusal = unreadable(with_bad_text(api.SubmitTaskRequest(task=task)), api.SubmitTaskRequest.DESCRIPTOR)

    assert [violation.field for violation in refusal.violations] == fields
    assert "not UTF-8" in refusal.message


def test_where_the_text_goes_wrong_is_told() -> None:
    data = with_bad_text(api.SubmitTaskRequest(task=api.Task(data="python:?")))

    assert "at byte 7" in unreadable(data, api.SubmitTaskRequest.DESCRIPTOR).message


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x7fshort", b"{}"])
def test_bytes_that_are_no_protobuf_name_the_message(data: bytes) -> None:
    refusal = unreadable(data, api.SubmitTaskRequest.DESCRIPTOR)

    assert [violation.field for violation in refusal.violations] == ["request"]
    assert "scheduler.SubmitTaskRequest" in refusal.message
