"""What a language has to tell the runner."""

from dataclasses import dataclass, field
from typing import Protocol

from services.runner.sandbox.box import BoxEnd


@dataclass(frozen=True, slots=True)
class Program:
    """Code that is ready to start, in a box's temp directory: its files and its command."""

    argv: tuple[str, ...]
    files: dict[str, bytes]
    read_only: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    compile_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The compiler did not make a program of it: how it ended, and its text."""

    end: BoxEnd
    text: bytes


class MissingToolError(Exception):
    """A language's tools are not installed on this runner; the message says how to get them."""


class Language(Protocol):
    """One language."""

    async def prepare(self) -> None:
        """Do once what every program needs; MissingToolError if it cannot be done."""
        ...

    async def build(self, code: str) -> Program | Refused:
        """Make a program of the code, in a box."""
        ...
