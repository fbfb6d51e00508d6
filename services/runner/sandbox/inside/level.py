"""What the two levels have in common: how they are asked for boxes, and what a box is to its zygote."""

import os
import socket
from typing import NamedTuple, Protocol

from services.runner.sandbox.inside.plan import BoxPlan
from services.runner.sandbox.inside.step import Step


class MadeBox(NamedTuple):
    """A box's processes: the number of the one that runs its job, and a descriptor of the one that ends them all."""

    main: int
    first: int


class Ways(NamedTuple):
    """A new box's ways to the outside, both closed before its job begins.

    Its channel to the runner, and where it joins its cgroups, by writing "0" there: that its own process does so keeps
    everybody else from waiting for the kernel.
    """

    channel: socket.socket
    entries: list[int]

    def join_cgroups(self) -> None:
        """Be counted and limited, with all that comes of this process."""
        for entry in self.entries:
            os.write(entry, b"0")


class Level(Protocol):
    """Makes the boxes of one isolation level."""

    def enter(self, step: Step) -> None:
        """Move the zygote where its boxes shall be born; OSError, with the step that failed in `step`."""
        ...

    def fork(self, ways: Ways, plan: BoxPlan, step: Step) -> MadeBox:
        """A new box; OSError, with the step that failed in `step`."""
        ...
