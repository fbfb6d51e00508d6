"""What a fault is: a name, what it does to the world, and how it is undone; each leaves the world whole."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.world import World

Inject = Callable[[World, random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault; `inject` returns when the world is whole again."""

    name: str
    inject: Inject


FAULTS: dict[str, Fault] = {}


def fault(inject: Inject) -> Inject:
    """Make a function a fault of its name, with words for its underscores."""
    name = inject.__name__.replace("_", "-")
    FAULTS[name] = Fault(name, inject)
    return inject
