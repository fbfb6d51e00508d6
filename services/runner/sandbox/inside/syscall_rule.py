"""The words that a system call policy is written in.

Named tuples and not dataclasses: those bring in `inspect`, and every module more makes every fork of the warm
interpreter slower.
"""

from errno import EPERM
from typing import NamedTuple

LOW_HALF = 0xFFFF_FFFF
WHOLE = 0xFFFF_FFFF_FFFF_FFFF
#: Stands for the process's own number, which is only known when the filter is loaded.
OWN_PID = -1


class Check(NamedTuple):
    """Holds when the argument's bits under `mask` are one of `values`.

    The kernel takes most arguments as 32-bit numbers and drops the rest, and the C library may leave anything in the
    rest; so only a mask that reaches beyond the low half looks at the high one.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = LOW_HALF


class Rule(NamedTuple):
    """Allows a call when all the checks of one of the alternatives hold; answers with `error` otherwise."""

    alternatives: tuple[tuple[Check, ...], ...]
    error: int = EPERM


class Policy(NamedTuple):
    """What a process may ask of the kernel. What is not named here is refused with EPERM."""

    allowed: frozenset[str]
    rules: dict[str, Rule]
    #: Calls that are refused with an error of their own, for what programs do on it.
    answers: dict[str, int]


def one_of(argument: int, *values: int) -> Check:
    """The argument is one of the values."""
    return Check(argument, values)


def without(argument: int, bits: int) -> Check:
    """The argument has none of the bits."""
    return Check(argument, (0,), bits)


def when(*checks: Check) -> Rule:
    """Allowed when all the checks hold."""
    return Rule((checks,))
