"""The command line's own rules: what is asked becomes a task; what ended becomes an exit code; output is exact."""

import pytest
import typer

from services.cli.asked_task import AskedTask
from services.cli.exit_codes import exit_code_of
from services.cli.live_output import LiveOutput
from services.cli.options import LanguageWord, PriorityWord, pairs
from services.cli.up import from_here
from taskandgo.api import scheduler_pb2 as api
from taskandgo.words import LANGUAGES, Priority


def test_the_file_ending_says_the_language(tmp_path):
    path = tmp_path / "code.go"
    path.write_text("package main")
    assert AskedTask(file=str(path), code=None).to_message().task.data == "go:package main"


def test_the_choices_are_the_words_of_the_product():
    assert list(PriorityWord) == [priority.word for priority in Priority]
    assert list(LanguageWord) == list(LANGUAGES)


def test_code_without_a_file_is_python_unless_said_otherwise():
    assert AskedTask(file=None, code="print(1)").to_message().task.data == "python:print(1)"
    asked = AskedTask(file=None, code="package main", language=LanguageWord("go"))
    assert asked.to_message().task.data == "go:package main"


def test_an_unknown_file_ending_asks_for_the_language(tmp_path):
    path = tmp_path / "code.rb"
    path.write_text("puts 1")
    with pytest.raises(typer.BadParameter, match="say which language"):
        AskedTask(file=str(path), code=None).to_message()


@pytest.mark.parametrize(("file", "code"), [(None, None), ("a.py", "print(1)")])
def test_exactly_one_of_file_and_code_is_wanted(file, code):
    with pytest.raises(typer.BadParameter, match="either FILE or -c CODE"):
        AskedTask(file=file, code=code, language=LanguageWord("python")).to_message()


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(typer.BadParameter, match="No such file"):
        AskedTask(file=str(tmp_path / "none.py"), code=None).to_message()


def test_every_option_reaches_the_message():
    asked = AskedTask(file=None, code="", task_id="a", labels=["k=v=w"], env=["E="], timeout=1.5, pool="p")
    task = asked.to_message().task
    assert (task.task_id, dict(task.labels), dict(task.env), task.pool) == ("a", {"k": "v=w"}, {"E": ""}, "p")
    assert task.limits.timeout.ToMilliseconds() == 1500


@pytest.mark.parametrize("text", ["novalue", "=value", ""])
def test_a_pair_without_key_or_equals_sign_is_a_usage_error(text):
    with pytest.raises(typer.BadParameter, match="is not KEY=VALUE"):
        pairs("--env", [text])


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (api.TaskStatus(state=api.TASK_STATE_SUCCEEDED, result=api.Result(exit_code=0)), 0),
        (api.TaskStatus(state=api.TASK_STATE_FAILED, result=api.Result(exit_code=7)), 7),
        (api.TaskStatus(state=api.TASK_STATE_FAILED, result=api.Result(outcome=api.OUTCOME_TIMED_OUT)), 124),
        (api.TaskStatus(state=api.TASK_STATE_CANCELLED), 130),
        (api.TaskStatus(state=api.TASK_STATE_EXPIRED), 125),
        (api.TaskStatus(state=api.TASK_STATE_FAILED, result=api.Result(outcome=api.OUTCOME_COMPILE_FAILED)), 125),
    ],
)
def test_the_end_of_a_task_becomes_an_exit_code(task, code):
    assert exit_code_of(task) == code


def block(offset: int, data: bytes, attempt: int = 1) -> api.Output:
    return api.Output(stream=api.Output.STREAM_STDOUT, offset=offset, data=data, attempt=attempt)


def final(stdout: str, attempt: int = 1) -> api.TaskStatus:
    return api.TaskStatus(chunk_count=1, result=api.Result(stdout=stdout, attempt=attempt))


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [block(0, b"abc"), block(3, b"def")],
        [block(0, b"abc"), block(0, b"abc")],
        [block(0, b"abc"), block(2, b"cde")],
        [block(3, b"def")],
        [block(0, b"ab"), block(4, b"ef")],
    ],
    ids=["none came", "all came", "one twice", "overlap", "start missed", "gap"],
)
def test_output_is_whole_and_in_order_whatever_came_live(blocks):
    written = bytearray()
    output = LiveOutput(written.extend, written.extend)
    for one in blocks:
        output.add(one)
    output.finish(final("abcdef"))
    assert bytes(written) == b"abcdef"


def test_a_new_attempt_writes_its_output_from_the_beginning():
    written = bytearray()
    output = LiveOutput(written.extend, written.extend)
    output.add(block(0, b"lost "))
    output.add(block(0, b"again", attempt=2))
    output.finish(final("again", attempt=2))
    assert bytes(written) == b"lost again"


@pytest.mark.parametrize(
    ("bound", "called"),
    [
        ("0.0.0.0:50051", "localhost:50051"),
        ("[::]:8080", "localhost:8080"),
        ("127.0.0.1:8081", "127.0.0.1:8081"),
        ("[::1]:8081", "[::1]:8081"),
        ("10.1.2.3:8080", "10.1.2.3:8080"),
    ],
)
def test_an_address_that_is_shown_can_be_called(bound, called):
    assert from_here(bound) == called
