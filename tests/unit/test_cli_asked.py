"""What a person asks for on the command line about cutting, repeating and delaying, as the API hears it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from services.cli.asked_instant import parse_instant
from services.cli.asked_task import AskedTask
from services.cli.live_output import LiveOutput
from taskandgo.api import scheduler_pb2 as api

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def asked(**options: object) -> api.Task:
    return AskedTask(code="pass", **options).to_message().task  # type: ignore[arg-type]


def test_without_a_wish_nothing_is_split_or_repeated() -> None:
    task = asked()
    assert not any(task.HasField(name) for name in ("split", "retry", "not_before", "deadline"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("0:10", api.Range(start=0, stop=10)),
        ("10:0:-3", api.Range(start=10, stop=0, step=-3)),
        ("-5:5:0", api.Range(start=-5, stop=5, step=0)),
    ],
)
def test_a_range_is_start_stop_and_perhaps_step(text: str, kept: api.Range) -> None:
    assert asked(split_range=text).split.range == kept


@pytest.mark.parametrize("text", ["", "1", "1:2:3:4", "a:b", "1:1.5", f"0:{2**63}"])
def test_what_is_no_range_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        asked(split_range=text)


@pytest.mark.parametrize(
    ("content", "items"),
    [
        ('[1, {"a": 2.50},\n "x"]', ["1", '{"a": 2.50}', '"x"']),
        ("1\n\n[2, 3]\r\n", ["1", "[2, 3]"]),
        ("[1]\n[2]\n", ["[1]", "[2]"]),
        ("[]", []),
        ("", []),
    ],
)
def test_items_are_an_array_or_one_value_a_line(tmp_path: Path, content: str, items: list[str]) -> None:
    path = tmp_path / "items"
    path.write_text(content)
    assert list(asked(split_items=path).split.items.json) == items


def test_an_empty_text_is_still_a_text_to_cut(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert asked(split_lines=tmp_path / "empty").split.WhichOneof("by") == "lines"


def test_two_things_to_cut_are_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="give one of"):
        asked(split_lines=tmp_path, split_range="0:1")


def test_standard_input_can_be_read_once() -> None:
    with pytest.raises(typer.BadParameter, match="only one of --stdin, --split-lines"):
        asked(stdin=Path("-"), split_lines=Path("-"))


def test_the_reduce_has_the_language_of_its_ending(tmp_path: Path) -> None:
    (tmp_path / "all.go").write_text("package main")
    assert asked(reduce=tmp_path / "all.go").split.reduce == "go:package main"
    (tmp_path / "all.rb").touch()
    with pytest.raises(typer.BadParameter, match="none of"):
        asked(reduce=tmp_path / "all.rb")


def test_retries_come_on_top_of_the_first_attempt() -> None:
    retry = asked(retry=2, backoff=0.5).retry
    assert (retry.max_attempts, retry.backoff.ToMilliseconds()) == (3, 500)


@pytest.mark.parametrize(
    ("text", "distance"),
    [
        ("90s", timedelta(seconds=90)),
        ("+10m", timedelta(minutes=10)),
        ("1.5h", timedelta(hours=1.5)),
        ("2d", timedelta(days=2)),
        ("2026-01-02T04:04:05Z", timedelta(hours=1)),
        ("2026-01-02T03:04:05+02:00", timedelta(hours=-2)),
    ],
)
def test_an_instant_is_a_distance_or_a_time(text: str, distance: timedelta) -> None:
    assert parse_instant(text, "--deadline", NOW) == NOW + distance


@pytest.mark.parametrize("text", ["", "soon", "10", "10w", "2026-13-01", "99999999999d"])
def test_what_is_no_instant_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no instant"):
        parse_instant(text, "--deadline", NOW)


def test_output_that_is_not_live_is_the_result_alone() -> None:
    written = bytearray()
    output = LiveOutput(written.extend, written.extend, live=False)
    output.add(api.Output(stream=api.Output.STREAM_STDOUT, text="second", chunk_index=1, attempt=1))
    output.finish(api.TaskStatus(chunk_count=2, result=api.Result(stdout="first second", attempt=1)))
    assert bytes(written) == b"first second"
