"""What the sandbox tells while it works, for whoever counts it."""

from collections.abc import Callable
from dataclasses import dataclass


def _nobody(*_told: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SandboxEvents:
    """Whom it tells; nobody unless given. A box was made, in so many seconds; a zygote took another one's place."""

    box_made: Callable[[float], None] = _nobody
    zygote_replaced: Callable[[], None] = _nobody
