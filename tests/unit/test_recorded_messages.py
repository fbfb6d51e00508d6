"""Releases one apart understand each other: what the last ones sent is read, and what is sent they could read."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from taskandgo.messages import Message, decode, encode
from taskandgo.task import TaskSpec
from tests.message_examples import TEXT, examples

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
NOW = {type(one): one for one in examples()}


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def _kept(before: object, after: object) -> bool:
    """Whether all of `before` is in `after`, which may have more fields."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(name in after and _kept(value, after[name]) for name, value in before.items())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_kept, before, after))
    return before == after


def _missing(schema: dict[str, Any]) -> list[str]:
    """What of today's messages a reader with this schema could not read."""
    validator = jsonschema.Draft202012Validator(schema)
    known = set(schema["$defs"])
    sent = [msgspec.to_builtins(one) for one in examples() if type(one).__name__ in known]
    return [error.message for one in sent for error in validator.iter_errors(one)]


def test_there_is_a_record() -> None:
    assert RECORDED


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_what_an_earlier_release_sent_is_read_and_nothing_of_it_is_lost(path: Path) -> None:
    for body in map(base64.b64decode, _read(path)["bodies"]):
        again = encode(decode(body))
        assert _kept(msgspec.msgpack.decode(body), msgspec.msgpack.decode(again)), decode(body)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_what_is_sent_today_an_earlier_release_could_read(path: Path) -> None:
    assert _missing(_read(path)["schema"]) == []


@pytest.mark.parametrize("message", NOW.values(), ids=lambda message: type(message).__name__)
def test_fields_of_a_later_release_are_skipped_wherever_they_are(message: Message) -> None:
    def more(value: object) -> object:
        if isinstance(value, list):
            return [more(one) for one in value]
        if not isinstance(value, dict) or TEXT in value:  # whose names are anybody's, as those of labels
            return value
        return {"of_a_later_release": [1]} | {name: more(one) for name, one in value.items()}

    later = more(msgspec.msgpack.decode(encode(message)))

    assert decode(msgspec.msgpack.encode(later)) == message


def test_a_field_that_is_gone_or_has_another_type_would_be_noticed() -> None:
    schema = copy.deepcopy(_read(RECORDED[-1])["schema"])
    schema["$defs"]["TaskCancelled"]["required"].append("reason")
    schema["$defs"]["ChunkOutput"]["properties"]["offset"] = {"type": "string"}

    assert len(_missing(schema)) >= 2


def test_what_rests_in_the_store_is_read_by_the_same_rule() -> None:
    """A task's spec rests in the store as it travels, and TaskSubmitted has it."""
    bodies = [base64.b64decode(body) for path in RECORDED for body in _read(path)["bodies"]]
    specs = [msgspec.msgpack.decode(body)["task"] for body in bodies if b"TaskSubmitted" in body]

    assert specs
    for spec in specs:
        msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=TaskSpec)
