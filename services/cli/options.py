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
Stdin = Annotated[
    Path | None,
    typer.Option("--stdin", exists=True, dir_okay=False, allow_dash=True, help="What the code reads on stdin."),
]
States = Annotated[list[TaskState] | None, typer.Option("--state", help="Only in this state; repeatable.")]

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
