"""What the metrics of all services have in common: buckets, labels that take few values, and the version."""

import itertools
from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from taskandgo import __version__
from taskandgo.words import LANGUAGES, Priority

#: 1 ms to 10 s: one step of the way, such as a call or a message.
STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
#: 10 ms to 2 h: a short task's whole life, and a long one's.
LIFE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200)

MIB = 1024 * 1024
#: 4 MiB to 16 GiB.
MEMORY_BYTES = tuple(MIB * 4**power for power in range(1, 8))
OTHER = "other"
PRIORITIES = tuple(priority.word for priority in Priority)
LANGUAGE_LABELS = (*LANGUAGES, OTHER)
#: How many values of a label that people choose are told apart.
MOST_VALUES = 100


class FewValues:
    """Keeps a label bounded whose values people choose: the first ones are themselves, all others `other`."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._known: dict[str, None] = {}

    @property
    def known(self) -> tuple[str, ...]:
        """The values that are themselves."""
        return tuple(self._known)

    def label(self, value: str) -> str:
        """The value, or `other` if there are too many before it."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return OTHER
        self._known[value] = None
        return value


def language_label(language: str) -> str:
    """The language, if it is one we know."""
    return language if language in LANGUAGES else OTHER


def from_zero(counter: Counter, *values: Iterable[str]) -> Counter:
    """The counter, at 0 for every combination of its labels' values: else its first event would be no increase."""
    for labels in itertools.product(*values):
        counter.labels(*labels)
    return counter


def seconds_between(earlier: datetime, later: datetime) -> float:
    """From one instant to the other, never less than 0: they come from machines whose clocks may differ a little."""
    return max(0.0, (later - earlier).total_seconds())


def declare_build(registry: CollectorRegistry) -> None:
    """Tell the version that runs."""
    build = Gauge("taskandgo_build_info", "The version that runs; always 1.", ["version"], registry=registry)
    build.labels(__version__).set(1)
