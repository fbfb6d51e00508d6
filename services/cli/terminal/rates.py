"""The rates of the last minutes, for the sparklines."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from taskandgo.api import scheduler_pb2 as api

#: What is drawn.
RATES = ("accepted", "started", "succeeded", "failed")
REMEMBERED = 300


@dataclass(slots=True)
class RateHistory:
    """What each rate was, a value for each message, the latest last."""

    values: dict[str, deque[float]] = field(
        default_factory=lambda: {name: deque([0.0], maxlen=REMEMBERED) for name in RATES}
    )

    def add(self, rates: api.Rates) -> None:
        """Remember these."""
        for name, history in self.values.items():
            history.append(getattr(rates, name))

    def of(self, name: str) -> Sequence[float]:
        """The history of one rate."""
        return list(self.values[name])

    def title(self, name: str) -> str:
        """Its name and what it is now."""
        return f"{name} {self.values[name][-1]:,.1f}/s"
