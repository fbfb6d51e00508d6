"""What a language has to tell the runner."""

from dataclasses import dataclass, field
from typing import Protocol

from services.runner.sandbox.box import BoxEnd, BoxLimits, Cancellable
from services.runner.sandbox.sealed import SealedFile


@dataclass(frozen=True, slots=True)
class Program:
    """Code that is ready to start: its files in the temp directory, and a command, or a sealed program, or neither.

    With neither, main.py runs in the warm Python. `out_of_memory` is what a program writes to stderr when memory is
    refused to it: one of these begins a line; `extra_address_bytes` is what its runtime reserves beyond what it uses.
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
    """The compiler did not make a program of it: how it ended, with its text on stderr."""

    end: BoxEnd


class MissingToolError(Exception):
    """A language cannot run on this runner; the message says why, and what to do."""


class Language(Protocol):
    """One language."""

    async def prepare(self) -> None:
        """Do once what every program needs, before or while the first is built; MissingToolError if it cannot be."""
        ...

    async def build(self, code: str, limits: BoxLimits, handle: Cancellable) -> Program | Refused:
        """Make a program of the code, that will run within the limits; a compiler works in a box, until cancelled."""
        ...
