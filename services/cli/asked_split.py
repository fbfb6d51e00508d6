"""How a person wants a task cut, as the Split message of the API."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from services.cli.asked_input import code_file, read_input

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import Items, Range, Split

START_STOP_STEP = (2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSplit:
    """The options that cut a task, as they were given; what its lines are is for others to send."""

    lines: bool = False
    items: Path | None = None
    numbers: str | None = None
    chunks: int | None = None
    reduce: Path | None = None
    min_succeeded: int | None = None

    def to_message(self) -> "Split | None":
        """The message; None if nothing was asked for."""
        from taskandgo.api import scheduler_pb2 as api  # noqa: PLC0415 - keeps --help fast

        if self == AskedSplit():
            return None
        if sum((self.lines, self.items is not None, self.numbers is not None)) > 1:
            raise typer.BadParameter("give one of --split-lines, --split-items and --split-range", param_hint="--split")
        return api.Split(
            chunks=self.chunks or 0,
            items=_items(read_input(self.items, "--split-items")) if self.items else None,
            range=_range(self.numbers) if self.numbers is not None else None,
            reduce=code_file(self.reduce, None, "--reduce") if self.reduce else "",
            min_succeeded=self.min_succeeded or 0,
        )


def _items(content: bytes) -> "Items":
    from taskandgo.api import scheduler_pb2 as api  # noqa: PLC0415 - keeps --help fast

    array = _array(content)
    items = content.splitlines() if array is None else array
    try:
        return api.Items(json=[item.decode() for item in items if item.strip()])
    except UnicodeDecodeError as error:
        raise typer.BadParameter("the items are not UTF-8", param_hint="--split-items") from error


def _array(content: bytes) -> list[bytes] | None:
    """The values of a JSON array as they are written; None if it is none."""
    try:
        return [bytes(item) for item in msgspec.json.decode(content, type=list[msgspec.Raw])]
    except msgspec.MsgspecError:
        # One value a line, then; the server says which one is wrong.
        return None


def _range(text: str) -> "Range":
    from taskandgo.api import scheduler_pb2 as api  # noqa: PLC0415 - keeps --help fast

    numbers = text.split(":")
    if len(numbers) not in START_STOP_STEP:
        raise typer.BadParameter(f"{text!r} is not START:STOP or START:STOP:STEP", param_hint="--split-range")
    try:
        start, stop, *step = map(int, numbers)
        return api.Range(start=start, stop=stop, step=step[0] if step else None)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}", param_hint="--split-range") from error
