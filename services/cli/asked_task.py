"""What a person asked for on the command line, as the Task message of the API."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from services.cli import limit_options, options
from services.cli.limit_options import AskedLimits
from services.cli.options import LanguageWord, pairs
from taskandgo.words import LANGUAGES

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

    def to_message(self) -> "Task":
        """The message; a usage error says which option is wrong."""
        from taskandgo.api import scheduler_pb2 as api  # noqa: PLC0415 - keeps --help fast

        return api.Task(
            task_id=self.task_id,
            priority=self.priority or "",
            data=f"{self._language()}:{self._code()}",
            strategy=self.strategy or "",
            labels=pairs("--label", self.labels),
            env=pairs("--env", self.env),
            pool=self.pool,
            stdin=self._stdin(),
            limits=self._limits().to_message(),
        )

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

    def _code(self) -> str:
        if (self.code is None) == (self.file is None):
            raise typer.BadParameter("give either FILE or -c CODE", param_hint="FILE")
        if self.code is not None:
            return self.code
        try:
            return (_standard_input() if self.file == "-" else Path(str(self.file)).read_bytes()).decode()
        except OSError as error:
            raise typer.BadParameter(f"{self.file}: {error.strerror}", param_hint="FILE") from error
        except UnicodeDecodeError as error:
            raise typer.BadParameter(f"{self.file} is not UTF-8", param_hint="FILE") from error

    def _language(self) -> str:
        if self.language is not None:
            return self.language
        if self.file is None or self.file == "-":
            return LanguageWord("python")
        ending = Path(self.file).suffix
        for language, endings in LANGUAGES.items():
            if ending in endings:
                return language
        known = ", ".join(ending for endings in LANGUAGES.values() for ending in endings)
        raise typer.BadParameter(
            f"{ending or self.file!r} is none of {known}; say which language it is", param_hint="--language"
        )

    def _stdin(self) -> bytes:
        if self.stdin is None:
            return b""
        if str(self.stdin) != "-":
            return self.stdin.read_bytes()
        if self.file == "-":
            raise typer.BadParameter("standard input can be the code or its stdin, not both", param_hint="--stdin")
        return _standard_input()


def _standard_input() -> bytes:
    return sys.stdin.buffer.read()
