"""What the two levels have in common: how they are asked for boxes, and what a box is to its zygote."""

import socket
from typing import NamedTuple, Protocol

from services.runner.sandbox.inside.plan import BoxPlan
from services.runner.sandbox.inside.step import Step


class MadeBox(NamedTuple):
    """A box's processes: the number of the one that runs its job, and a descriptor of the one that ends them all."""

    main: int
    first: int


class Level(Protocol):
    """Makes the boxes of one isolation level."""

    def enter(self, step: Step) -> None:
        """Move the zygote where its boxes shall be born; OSError, with the step that failed in `step`."""
        ...

    def fork(self, channel: socket.socket, plan: BoxPlan, step: Step) -> MadeBox:
        """A new box, which speaks on the channel; OSError, with the step that failed in `step`."""
        ...
