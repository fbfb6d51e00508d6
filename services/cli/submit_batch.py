"""Submits many tasks over one stream, a line of a file each, and tells what became of every line.

Promises: a bad line sinks no other; neither the file nor the answers are held in memory; the server sets the pace.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer
from google.protobuf import json_format

from services.cli.asked_input import STANDARD_INPUT
from services.cli.progress import counting
from taskandgo.api import scheduler_pb2 as api

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file with a task in each line that is not blank, and labels that each of them gets."""

    path: Path
    source: BinaryIO
    labels: dict[str, str]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "standard input" if self.path == STANDARD_INPUT else str(self.path)

    def count(self) -> int | None:
        """How many tasks are in it; None if that is not known before they are read."""
        if not self.path.is_file():
            return None
        with self.path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())

    async def lines(self) -> AsyncIterator[tuple[int, bytes]]:
        """The lines that are not blank, with their numbers from 1; waiting for one keeps nobody else waiting."""
        number = 0
        while line := await asyncio.to_thread(self.source.readline):
            number += 1
            if line.strip():
                yield number, line

    def parse(self, line: bytes) -> api.Task:
        """The task in a line; ValueError says why there is none."""
        try:
            task: api.Task = json_format.Parse(line, api.Task())
        except (json_format.ParseError, UnicodeError, RecursionError) as error:
            raise ValueError(f"is not the JSON of a Task: {error}") from error
        task.labels.update(self.labels)
        return task


@dataclass(slots=True)
class Report:
    """What became of the lines; the ids only where somebody wants them."""

    accepted: int = 0
    refused: int = 0
    task_ids: list[str] = field(default_factory=list)


async def submit_batch(stub: "SchedulerAsyncStub", source: BatchFile, *, json: bool, keep_ids: bool) -> Report:
    """Submit every line; refused ones are told on stderr with their number, or in the JSON."""
    report, sent = Report(), deque[int]()
    with counting("submitted", source.count()) as counted:

        def told(number: int, answer: api.SubmitTaskAnswer) -> None:
            counted()
            _tell(source.name, number, answer, json=json)
            report.accepted += answer.success
            report.refused += not answer.success
            if answer.success and keep_ids:
                report.task_ids.append(answer.task_id)

        async def requests() -> AsyncIterator[api.StreamTasksRequest]:
            async for number, line in source.lines():
                try:
                    task = source.parse(line)
                except ValueError as error:
                    told(number, api.SubmitTaskAnswer(message=str(error)))
                    continue
                sent.append(number)
                yield api.StreamTasksRequest(task=task)

        try:
            async for response in stub.StreamTasks(requests()):
                told(sent.popleft(), response.answer)
        finally:
            typer.echo(f"{report.accepted} accepted, {report.refused} refused", err=True)
    return report


def _tell(name: str, number: int, answer: api.SubmitTaskAnswer, *, json: bool) -> None:
    if json:
        said = json_format.MessageToDict(answer, preserving_proto_field_name=True)
        typer.echo(_json({"line": number, "success": answer.success, **said}))
    elif not answer.success:
        typer.echo(f"{name}:{number}: {answer.message}", err=True)
    elif not sys.stdout.isatty():
        # On a terminal thousands of ids would push away what matters.
        typer.echo(answer.task_id)


def _json(said: dict[str, object]) -> str:
    import json  # noqa: PLC0415 - its name is an option's everywhere else

    return json.dumps(said, ensure_ascii=False)
