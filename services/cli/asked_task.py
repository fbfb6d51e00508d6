"""What a person asked for on the command line, as the Task message of the API."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from services.cli import limit_options, options
from services.cli.asked_input import code_file
from services.cli.asked_instant import parse_instant
from services.cli.asked_split import AskedSplit
from services.cli.large_input import LargeInput, Sending, read_or_leave
from services.cli.limit_options import AskedLimits
from services.cli.options import LanguageWord, pairs

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTask:
    """The options of `submit` and `run`, as they were given."""

    file: options.File = None
    code: options.Code = None
    language: options.Language = None
    priority: options.PriorityOption = None
    task_id: options.Id = ""
    labels: options.Labels = None
    env: options.Env = None
    timeout: options.Timeout = None
    cpu: limit_options.Cpu = None
    memory: limit_options.Memory = None
    processes: limit_options.Processes = None
    open_files: limit_options.OpenFiles = None
    disk: limit_options.Disk = None
    output: limit_options.Output = None
    strategy: options.StrategyOption = None
    pool: options.Pool = ""
    stdin: options.Stdin = None
    split_lines: options.SplitLines = None
    split_items: options.SplitItems = None
    split_range: options.SplitRange = None
    chunks: options.Chunks = None
    reduce: options.Reduce = None
    min_succeeded: options.MinSucceeded = None
    retry: options.RetryTimes = None
    backoff: options.Backoff = None
    not_before: options.NotBefore = None
    deadline: options.Deadline = None

    def to_message(self) -> "Sending":
        """The message, with large input on its way after it; a usage error says which option is wrong."""
        from taskandgo.api import scheduler_pb2 as api  # noqa: PLC0415 - keeps --help fast

        self._check_standard_input()
        task = api.Task(
            task_id=self.task_id,
            priority=self.priority or "",
            data=self._data(),
            strategy=self.strategy or "",
            labels=pairs("--label", self.labels),
            env=pairs("--env", self.env),
            pool=self.pool,
            split=self._split().to_message(),
            limits=self._limits().to_message(),
        )
        large = self._add_input(task)
        self._add_retry(task)
        self._add_instants(task, datetime.now(UTC))
        return Sending(task, large)

    def _add_input(self, task: "Task") -> LargeInput | None:
        large = None
        if self.stdin:
            task.stdin, large = read_or_leave(self.stdin, "--stdin", "stdin_blob")
        if self.split_lines:
            task.split.lines, lines = read_or_leave(self.split_lines, "--split-lines", "lines_blob")
            large = lines or large
        return large

    def _limits(self) -> AskedLimits:
        return AskedLimits(
            timeout=self.timeout,
            cpu=self.cpu,
            memory=self.memory,
            processes=self.processes,
            open_files=self.open_files,
            disk=self.disk,
            output=self.output,
        )

    def _data(self) -> str:
        if (self.code is None) == (self.file is None):
            raise typer.BadParameter("give either FILE or -c CODE", param_hint="FILE")
        if self.code is None:
            return code_file(Path(str(self.file)), self.language, "FILE")
        return f"{self.language or LanguageWord('python')}:{self.code}"

    def _split(self) -> AskedSplit:
        return AskedSplit(
            lines=self.split_lines is not None,
            items=self.split_items,
            numbers=self.split_range,
            chunks=self.chunks,
            reduce=self.reduce,
            min_succeeded=self.min_succeeded,
        )

    def _add_retry(self, task: "Task") -> None:
        if self.retry is not None:
            task.retry.max_attempts = self.retry + 1
        if self.backoff is not None:
            task.retry.backoff.FromTimedelta(timedelta(seconds=self.backoff))

    def _add_instants(self, task: "Task", now: datetime) -> None:
        if self.not_before is not None:
            task.not_before.FromDatetime(parse_instant(self.not_before, "--not-before", now))
        if self.deadline is not None:
            task.deadline.FromDatetime(parse_instant(self.deadline, "--deadline", now))

    def _check_standard_input(self) -> None:
        readers = {
            "FILE": self.file,
            "--stdin": self.stdin,
            "--split-lines": self.split_lines,
            "--split-items": self.split_items,
        }
        named = [option for option, path in readers.items() if str(path) == "-"]
        if len(named) > 1:
            raise typer.BadParameter(f"standard input can be only one of {', '.join(named)}", param_hint=named[-1])
