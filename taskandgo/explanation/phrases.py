"""How times, sizes and counts are said to people."""

from collections.abc import Sequence
from datetime import datetime

SHOWN_INDEXES = 20
LEAST_SECONDS, MINUTE, HOUR, DAY = 0.001, 60, 3600, 86_400
KIB, MIB, GIB = 1024, 1024**2, 1024**3


def duration(seconds: float) -> str:
    """A duration with its two largest units."""
    if seconds < 1:
        return f"{seconds:.2g} s" if seconds >= LEAST_SECONDS else "0 s"
    if seconds < MINUTE:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for unit, size, part, part_size in (("d", DAY, "h", HOUR), ("h", HOUR, "min", MINUTE), ("min", MINUTE, "s", 1)):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {unit} {rest} {part}" if rest else f"{whole // size} {unit}"
    raise AssertionError("less than a minute is dealt with above")


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
