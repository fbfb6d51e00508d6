"""Takes the times: one task at a time, and bursts, in interleaved rounds so that every system has the same machine."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.boxed import CODE, run_bare, run_boxed
from bench.system import System

#: Plain programs, measured beside the systems.
REFERENCES: dict[str, Callable[[], object]] = {
    "python3 -I -S -c pass": run_bare,
    "bubblewrap + python3": lambda: run_boxed(CODE),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: `singles` one at a time a round, and a burst of `tasks` a round."""

    tasks: int
    singles: int
    rounds: int


@dataclass(slots=True)
class Times:
    """What was measured of one system: seconds of each single task, and tasks per second of each burst."""

    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        """Of the single tasks, in milliseconds."""
        return percentile(self.seconds, percent)

    @property
    def rate(self) -> float | None:
        """The median of the bursts."""
        return statistics.median(self.rates) if self.rates else None


def percentile(seconds: Sequence[float], percent: int) -> float:
    """The percentile of so many times, in milliseconds."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000


def measure(systems: Mapping[str, System], plan: Plan, tell: Callable[[str], None]) -> dict[str, Times]:
    """The times of the references and the systems."""
    times = {name: Times() for name in (*REFERENCES, *systems)}
    for name, system in systems.items():
        tell(f"waiting for {name}")
        system.run_one()
        system.run_burst(plan.singles)
    for round_number in range(1, plan.rounds + 1):
        for name, run in REFERENCES.items():
            times[name].seconds += [_seconds(run) for _ in range(plan.singles)]
        for name, system in systems.items():
            tell(f"round {round_number} of {plan.rounds}: {name}")
            _measure_round(system, plan, times[name])
    return times


def _measure_round(system: System, plan: Plan, times: Times) -> None:
    times.seconds += [_seconds(system.run_one) for _ in range(plan.singles)]
    times.rates.append(plan.tasks / _seconds(lambda: system.run_burst(plan.tasks)))


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
