"""What is measured: anything that runs the hello-world task and tells when its result is recorded."""

from typing import Protocol

#: How long a first task may wait for its system to come up, and any other for its result.
PATIENCE_SECONDS = 90.0
#: How many tasks a system runs at once.
SLOTS = 2


class WrongOutputError(Exception):
    """A system answered something else than the task's output."""


class System(Protocol):
    """A running system."""

    def run_one(self) -> None:
        """Submit one task; return when its result is here. WrongOutputError if it is not the right one."""
        ...

    def run_burst(self, count: int) -> None:
        """Submit so many tasks at once; return when the last result is recorded."""
        ...


def check(output: object, expected: str) -> None:
    """WrongOutputError unless the output is the expected one."""
    if output != expected:
        raise WrongOutputError(f"expected {expected!r}, got {output!r}")
