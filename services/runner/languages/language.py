"""What a language has to tell the runner."""

from dataclasses import dataclass, field
from typing import Protocol

from services.runner.sandbox.box import BoxEnd
from services.runner.sandbox.sealed import SealedFile


@dataclass(frozen=True, slots=True)
class Program:
    """Code that is ready to start: its files in the temp directory, and a command, or a sealed program, or neither.

    With neither, main.py runs in the warm Python. `out_of_memory` begins the line of stderr that a program writes when
    memory is refused to it; `extra_address_bytes` is what its runtime reserves beyond what it uses.
    """

    argv: tuple[str, ...] = ()
    binary: SealedFile | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    compile_seconds: float = 0.0
    out_of_memory: tuple[bytes, ...] = ()
    extra_address_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The compiler did not make a program of it: how it ended, and its text."""

    end: BoxEnd
    text: bytes


class MissingToolError(Exception):
    """A language cannot run on this runner; the message says why, and what to do."""


class Language(Protocol):
    """One language."""

    async def prepare(self) -> None:
        """Do once what every program needs; MissingToolError if it cannot be done."""
        ...

    async def build(self, code: str) -> Program | Refused:
        """Make a program of the code, in a box."""
        ...
