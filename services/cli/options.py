"""The options that several commands share, so that each is spelt and explained once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from taskandgo.words import Priority, Strategy, TaskState

#: The heading of the options that limit an attempt.
LIMITS = "Limits"


class PriorityWord(StrEnum):
    """Priority by the words people use; Typer wants choices as an enumeration of texts."""

    LOW = Priority.LOW.word
    NORMAL = Priority.NORMAL.word
    HIGH = Priority.HIGH.word
    CRITICAL = Priority.CRITICAL.word


class LanguageWord(StrEnum):
    """The languages, for the same reason."""

    PYTHON = "python"
    GO = "go"
    BASH = "bash"


Server = Annotated[
    str, typer.Option("--server", envvar="TASKANDGO_SERVER", metavar="HOST:PORT", help="Where ingest listens.")
]
Json = Annotated[bool, typer.Option("--json", help="Print protobuf's JSON, one object a line.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The task's id.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label; repeatable.")]

File = Annotated[str | None, typer.Argument(metavar="FILE", help="The file with the code, or - for standard input.")]
Code = Annotated[str | None, typer.Option("--code", "-c", metavar="CODE", help="The code itself, instead of FILE.")]
Language = Annotated[
    LanguageWord | None, typer.Option(help="Its language. Without it: by the file's ending; python for other code.")
]
PriorityOption = Annotated[PriorityWord | None, typer.Option(help="How urgent it is; normal unless given.")]
Id = Annotated[str, typer.Option("--id", help="The task's id; makes submitting twice harmless.")]
Env = Annotated[
    list[str] | None, typer.Option("--env", metavar="KEY=VALUE", help="An environment variable; repeatable.")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        min=0.001, metavar="SECONDS", help="Longest time the code may run; 60 unless given.", rich_help_panel=LIMITS
    ),
]
StrategyOption = Annotated[Strategy | None, typer.Option(help="How it is cut; the server's choice unless given.")]
Pool = Annotated[str, typer.Option(help="The set of runners that may take it; default unless given.")]
# Typer would take `-` for the name of a file, so whoever reads one of these looks whether it is there.
Stdin = Annotated[
    Path | None,
    typer.Option("--stdin", help="What the code reads on stdin."),
]
SplitLines = Annotated[
    Path | None,
    typer.Option(
        "--split-lines",
        help="Cut this text by lines; each chunk reads some on stdin.",
    ),
]
SplitItems = Annotated[
    Path | None,
    typer.Option(
        "--split-items",
        help="Cut these items: a JSON array, or one JSON value a line.",
    ),
]
SplitRange = Annotated[
    str | None,
    typer.Option(
        "--split-range", metavar="START:STOP[:STEP]", help="Cut these numbers; see RANGE_START, RANGE_STOP, RANGE_STEP."
    ),
]
Chunks = Annotated[int | None, typer.Option(min=0, help="Into how many chunks; 0 is the server's choice.")]
Reduce = Annotated[
    Path | None,
    typer.Option("--reduce", help="The file with the code that makes one result of all."),
]
MinSucceeded = Annotated[int | None, typer.Option(min=0, help="How many chunks must succeed; all unless given.")]
RetryTimes = Annotated[
    int | None, typer.Option("--retry", min=0, metavar="TIMES", help="Run again, so many times, what did not succeed.")
]
Backoff = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="The wait before the first time, doubled for each after; 1 if absent."),
]
NotBefore = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Start no sooner: 10m, 2h, or 2030-01-31T12:00 (local time, or Z).")
]
Deadline = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Expire if not started by then; as for --not-before.")
]
States = Annotated[list[TaskState] | None, typer.Option("--state", help="Only in this state; repeatable.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at the most.")]

DEFAULT_SERVER = "localhost:50051"


def pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """KEY=VALUE options as a dictionary; a usage error names the one that has no `=`."""
    found = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=option)
        found[key] = value
    return found
