"""What the limits of a task must be like: each wrong one is refused by its field; pure.

They are bounds of sense, the same for every pool: what a runner grants at the most is its own setting, and what is
asked beyond that is cut to it there.
"""

from collections.abc import Iterator
from typing import Literal

from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import Violation
from taskandgo.task import Limits

MIB, TIB = 1024**2, 1024**4
MOST_CPU_SECONDS = 864_000
Number = Literal["memory_bytes", "processes", "open_files", "disk_bytes", "output_bytes"]
#: Least and most of each, and its unit. Below the least no program could start.
RANGES: dict[Number, tuple[int, int, str]] = {
    "memory_bytes": (16 * MIB, TIB, " bytes"),
    "processes": (1, 32_768, ""),
    "open_files": (16, 65_536, ""),
    "disk_bytes": (MIB, TIB, " bytes"),
    "output_bytes": (1, TIB, " bytes"),
}
DURATIONS: tuple[Literal["timeout", "cpu_time"], ...] = ("timeout", "cpu_time")


def limit_violations(limits: api.Limits, max_timeout_seconds: float) -> Iterator[Violation]:
    """Every limit that is wrong."""
    most_seconds = {"timeout": max_timeout_seconds, "cpu_time": MOST_CPU_SECONDS}
    for duration in DURATIONS:
        seconds, most = _seconds(limits, duration) or 0.0, most_seconds[duration]
        if not 0 <= seconds <= most:
            allowed = f"more than 0 s and at most {most:g} s, or 0 for the runner's default"
            yield Violation(f"task.limits.{duration}", f"is {seconds:g} s; allowed is {allowed}")
    for name, (least, most, unit) in RANGES.items():
        asked = getattr(limits, name)
        if asked and not least <= asked <= most:
            allowed = f"{least} to {most}{unit}, or 0 for the runner's default"
            yield Violation(f"task.limits.{name}", f"is {asked}{unit}; allowed is {allowed}")


def limits_of(limits: api.Limits) -> Limits:
    """The limits as they will be kept; what is absent or 0 is left to the runner."""
    return Limits(
        timeout_seconds=_seconds(limits, "timeout"),
        cpu_seconds=_seconds(limits, "cpu_time"),
        **{name: getattr(limits, name) or None for name in RANGES},
    )


def _seconds(limits: api.Limits, duration: Literal["timeout", "cpu_time"]) -> float | None:
    return getattr(limits, duration).ToNanoseconds() / 1e9 or None
