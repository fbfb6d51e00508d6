"""How times, sizes and counts are said to people."""

from collections.abc import Sequence
from datetime import datetime

SHOWN_INDEXES = 20
MILLISECOND, TENTH, MINUTE, HOUR, DAY = 0.001, 0.1, 60, 3600, 86_400
KIB, MIB, GIB = 1024, 1024**2, 1024**3


def duration(seconds: float) -> str:
    """A duration with its two largest units, or with two or three digits."""
    if seconds < TENTH:
        return _milliseconds(seconds)
    if seconds < MINUTE:
        return f"{seconds:.{2 if seconds < 1 else 3}g} s"
    whole = round(seconds)
    for unit, size, part, part_size in (("d", DAY, "h", HOUR), ("h", HOUR, "min", MINUTE), ("min", MINUTE, "s", 1)):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {unit} {rest} {part}" if rest else f"{whole // size} {unit}"
    raise AssertionError("less than a minute is dealt with above")


def _milliseconds(seconds: float) -> str:
    if seconds < MILLISECOND:
        return "0 s"
    # Two digits of 99.6 would be said as 1e+02.
    digits = ".2g" if seconds < 10 * MILLISECOND else ".0f"
    return f"{seconds * 1000:{digits}} ms"


def between(start: datetime, end: datetime) -> str:
    """The time from one instant to another."""
    return duration((end - start).total_seconds())


def instant(at: datetime) -> str:
    """An instant, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def size(count_bytes: float) -> str:
    """So many bytes."""
    for unit, unit_bytes in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if count_bytes >= unit_bytes:
            return f"{count_bytes / unit_bytes:.4g} {unit}"
    return f"{count_bytes:.0f} bytes"


def counted(count: int, thing: str, *, is_least: bool = False) -> str:
    """So many things."""
    return f"{'at least ' if is_least else ''}{count:,} {thing}{'' if count == 1 else 's'}"


def indexes(found: Sequence[int], total: int) -> str:
    """The numbers of chunks, the first of them when they are many."""
    shown = ", ".join(map(str, found[:SHOWN_INDEXES]))
    return f"{shown}, …" if total > min(len(found), SHOWN_INDEXES) else shown
