"""What crosses the broker can be read back, by this release and the next."""

from datetime import UTC, datetime

import msgspec
import pytest

from taskandgo import messages
from taskandgo.broker.topology import ROUTES, routing_key
from taskandgo.errors import UndecodableError
from taskandgo.messages import ChunkStarted, Message, TaskCancelled, TaskSubmitted, decode, encode
from taskandgo.task import TaskSpec
from taskandgo.words import Priority

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPEC = TaskSpec(task_id="a.b", priority=Priority.HIGH, language="python", code="print(1)", queued_at=AT)


def test_a_message_is_what_it_was_before_it_was_sent() -> None:
    sent = TaskSubmitted(task=SPEC)

    assert decode(encode(sent)) == sent


def test_a_field_of_a_later_release_is_skipped() -> None:
    body = msgspec.msgpack.encode({"type": "TaskCancelled", "task_id": "a", "reason_of_a_later_release": 7})

    assert decode(body) == TaskCancelled(task_id="a")


@pytest.mark.parametrize("body", [b"", b"\xff", b"nonsense", msgspec.msgpack.encode({"type": "NoSuchMessage"})])
def test_anything_else_is_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableError):
        decode(body)


def test_every_message_has_a_route() -> None:
    classes = {
        value
        for value in vars(messages).values()
        if isinstance(value, type) and issubclass(value, Message) and value is not Message
    }

    assert classes == set(ROUTES)


def test_a_key_holds_the_fields_it_names() -> None:
    started = ChunkStarted(task_id="a.b", chunk_index=0, attempt=1, runner="r", started_at=AT)

    assert routing_key(started) == "chunk.started.-.a.b"
