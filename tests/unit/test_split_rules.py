"""How a task may be cut, delayed and repeated: every wrong wish is refused by its field, every right one kept."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf import json_format

from services.ingest.task_rules import TaskRules
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import RefusalError
from taskandgo.task import Code, Items, Lines, Range, Retry, Split, TaskSpec
from taskandgo.words import Strategy

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RULES = TaskRules(Strategy.BATCH, max_data_bytes=1000, max_timeout_seconds=10, max_chunks=50)
LARGEST, SMALLEST = 2**63 - 1, -(2**63)


def spec(wish: dict[str, object]) -> TaskSpec:
    """The task that a client's JSON becomes."""
    return RULES.spec(json_format.ParseDict({"data": "python:pass", **wish}, api.Task()), NOW)


def lines(text: str) -> str:
    """Bytes as protobuf's JSON has them."""
    return json_format.MessageToDict(api.Split(lines=text.encode()))["lines"]


def at(distance: timedelta) -> str:
    """An instant as protobuf's JSON has it."""
    return (NOW + distance).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("wish", "field", "said"),
    [
        ({"split": {"chunks": 51}}, "task.split.chunks", "is 51; at most 50 are allowed"),
        ({"split": {"chunks": 2**32 - 1}}, "task.split.chunks", "at most 50"),
        ({"split": {"lines": ""}}, "task.split.lines", "is empty"),
        ({"split": {"items": {}}}, "task.split.items", "is empty"),
        ({"split": {"items": {"json": ["1", "nope"]}}}, "task.split.items.json[1]", "'nope'"),
        ({"split": {"items": {"json": ["1 2"]}}}, "task.split.items.json[0]", "not one JSON value"),
        ({"split": {"items": {"json": [""]}}}, "task.split.items.json[0]", "not one JSON value"),
        ({"split": {"items": {"json": ["[" * 400]}}}, "task.split.items.json[0]", "not one JSON value"),
        ({"split": {"range": {"start": 0, "stop": 5, "step": 0}}}, "task.split.range.step", "is 0"),
        ({"split": {"range": {}}}, "task.split.range", "has no numbers"),
        ({"split": {"range": {"start": 5, "stop": 5}}}, "task.split.range", "has no numbers"),
        ({"split": {"range": {"start": 0, "stop": 5, "step": -1}}}, "task.split.range", "in steps of -1"),
        ({"split": {"range": {"start": LARGEST, "stop": SMALLEST}}}, "task.split.range", "has no numbers"),
        ({"split": {"chunks": 3, "min_succeeded": 4}}, "task.split.min_succeeded", "at most 3 chunks"),
        ({"split": {"chunks": 9, "min_succeeded": 4, "lines": lines("a\nb\nc")}}, "task.split.min_succeeded", "most 3"),
        ({"split": {"min_succeeded": 2}}, "task.split.min_succeeded", "at most 1 chunks"),
        ({"split": {"min_succeeded": 3, "items": {"json": ["1", "2"]}}}, "task.split.min_succeeded", "most 2"),
        ({"split": {"reduce": "cobol:STOP"}}, "task.split.reduce", "python:, go:"),
        ({"split": {"reduce": "print(1)"}}, "task.split.reduce", "prefix"),
        ({"split": {"reduce": "python: "}}, "task.split.reduce", "no code"),
        ({"split": {"reduce": "python:\0"}}, "task.split.reduce", "NUL"),
        ({"split": {"lines": lines("x" * 2000)}}, "task.split.lines", "at most 1000"),
        ({"split": {"items": {"json": ["1"] * 1001}}}, "task.split.items", "at most 1000"),
        ({"split": {"reduce": "python:" + "#" * 1000}}, "task.split.reduce", "at most 1000"),
        ({"split": {}, "strategy": "batch"}, "task.strategy", "'batch'"),
        ({"split": {"lines": lines("a")}, "stdin": lines("b")}, "task.stdin", "must be empty"),
        ({"retry": {"max_attempts": -1}}, "task.retry.max_attempts", "is -1; allowed are 1 to 100"),
        ({"retry": {"max_attempts": 101}}, "task.retry.max_attempts", "1 to 100"),
        ({"retry": {"backoff": "-1s"}}, "task.retry.backoff", "0 s to 3600 s"),
        ({"retry": {"backoff": "3601s"}}, "task.retry.backoff", "is 3601 s"),
        ({"not_before": at(timedelta(days=3650))}, "task.not_before", "at most 366 days"),
        ({"deadline": at(timedelta(seconds=-1))}, "task.deadline", "has passed"),
        ({"deadline": at(timedelta())}, "task.deadline", "has passed"),
        (
            {"deadline": at(timedelta(hours=1)), "not_before": at(timedelta(hours=1))},
            "task.deadline",
            "must be after not_before",
        ),
    ],
)
def test_a_wrong_wish_is_refused_by_its_field(wish: dict[str, object], field: str, said: str) -> None:
    with pytest.raises(RefusalError) as refused:
        spec(wish)

    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    told = {violation.field: violation.description for violation in refused.value.violations}
    assert list(told) == [field]
    assert said in told[field]


@pytest.mark.parametrize("name", ["not_before", "deadline"])
@pytest.mark.parametrize("seconds", [2**62, -(2**62)])
def test_an_instant_beyond_the_calendar_is_refused(name: str, seconds: int) -> None:
    task = api.Task(data="python:pass")
    getattr(task, name).seconds = seconds

    with pytest.raises(RefusalError, match="year 1 to 9999"):
        RULES.spec(task, NOW)


@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        ({}, Split()),
        ({"chunks": 50}, Split(chunks=50)),
        ({"chunks": 50, "lines": lines("a\nb")}, Split(chunks=50, by=Lines(text=b"a\nb"))),
        ({"chunks": 3, "min_succeeded": 3}, Split(chunks=3, min_succeeded=3)),
        ({"range": {"stop": 3}}, Split(by=Range(start=0, stop=3))),
        ({"range": {"start": 3, "step": -2}}, Split(by=Range(start=3, stop=0, step=-2))),
        ({"range": {"start": SMALLEST, "stop": LARGEST}}, Split(by=Range(start=SMALLEST, stop=LARGEST))),
        ({"reduce": "go:package main"}, Split(reduce=Code(language="go", code="package main"))),
        ({"items": {"json": ["[1,\r\n2]", '"a\\nb"']}}, Split(by=Items(json=["[1,  2]", '"a\\nb"']))),
    ],
)
def test_a_right_wish_is_kept_and_means_split(wish: dict[str, object], kept: Split) -> None:
    task = spec({"split": wish})

    assert task.strategy is Strategy.SPLIT
    assert task.split == kept


def test_a_range_may_share_the_stdin_of_the_task() -> None:
    assert spec({"split": {"range": {"stop": 3}}, "stdin": lines("x")}).stdin == b"x"


@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        (None, Retry(max_attempts=1, backoff_seconds=1.0)),
        ({}, Retry(max_attempts=1, backoff_seconds=1.0)),
        ({"max_attempts": 100, "backoff": "0s"}, Retry(max_attempts=100, backoff_seconds=0.0)),
        ({"backoff": "0.5s"}, Retry(max_attempts=1, backoff_seconds=0.5)),
    ],
)
def test_retry_takes_its_defaults_and_keeps_an_explicit_zero(wish: dict[str, object] | None, kept: Retry) -> None:
    assert spec({"retry": wish} if wish is not None else {}).retry == kept


def test_a_start_that_has_passed_is_none() -> None:
    assert spec({"not_before": at(timedelta(days=-3650))}).not_before is None


def test_instants_ahead_are_kept() -> None:
    task = spec({"not_before": at(timedelta(days=366)), "deadline": at(timedelta(days=4000))})

    assert task.not_before == NOW + timedelta(days=366)
    assert task.deadline == NOW + timedelta(days=4000)
