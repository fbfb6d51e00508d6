"""What the limits of a task must be like, on the wire and on the command line."""

import pytest
import typer

from services.cli.limit_options import AskedLimits, parse_size
from services.ingest.limit_rules import limit_violations, limits_of
from taskandgo.api import scheduler_pb2 as api
from taskandgo.task import Limits

MIB = 1024**2


def asked(**limits: float) -> api.Limits:
    """Limits of the API; durations in seconds."""
    made = api.Limits()
    for name, value in limits.items():
        if name in {"timeout", "cpu_time"}:
            getattr(made, name).FromNanoseconds(round(value * 1e9))
        else:
            setattr(made, name, value)
    return made


def test_what_is_absent_or_zero_is_left_to_the_runner() -> None:
    assert limits_of(api.Limits()) == Limits()
    assert limits_of(asked(timeout=0, cpu_time=0, memory_bytes=0, processes=0)) == Limits()
    assert list(limit_violations(asked(timeout=0, cpu_time=0), 10)) == []


def test_every_limit_is_kept() -> None:
    every = asked(
        timeout=1.5, cpu_time=2.5, memory_bytes=32 * MIB, processes=3, open_files=20, disk_bytes=MIB, output_bytes=9
    )
    assert list(limit_violations(every, 10)) == []
    assert limits_of(every) == Limits(
        timeout_seconds=1.5,
        cpu_seconds=2.5,
        memory_bytes=32 * MIB,
        processes=3,
        open_files=20,
        disk_bytes=MIB,
        output_bytes=9,
    )


@pytest.mark.parametrize(
    ("name", "value", "came", "allowed"),
    [
        ("timeout", 10.5, "10.5 s", "at most 10 s"),
        ("timeout", -1, "-1 s", "more than 0 s"),
        ("cpu_time", -0.5, "-0.5 s", "more than 0 s"),
        ("cpu_time", 864_001, "864001 s", "at most 864000 s"),
        ("memory_bytes", 16 * MIB - 1, "16777215 bytes", "16777216 to 1099511627776 bytes"),
        ("memory_bytes", 2**62, str(2**62), "16777216 to 1099511627776 bytes"),
        ("processes", -1, "-1", "1 to 32768"),
        ("processes", 2**31 - 1, str(2**31 - 1), "1 to 32768"),
        ("open_files", 15, "15", "16 to 65536"),
        ("disk_bytes", MIB - 1, "1048575 bytes", "1048576 to"),
        ("output_bytes", -1, "-1 bytes", "1 to"),
    ],
)
def test_a_limit_out_of_range_is_named_with_what_came_and_what_is_allowed(
    name: str, value: float, came: str, allowed: str
) -> None:
    (violation,) = limit_violations(asked(**{name: value}), max_timeout_seconds=10)
    assert violation.field == f"task.limits.{name}"
    assert came in violation.description
    assert allowed in violation.description


def test_all_wrong_limits_are_named_at_once() -> None:
    wrong = asked(timeout=99, cpu_time=-1, memory_bytes=1, processes=-1, open_files=1, disk_bytes=1, output_bytes=-1)
    assert len({violation.field for violation in limit_violations(wrong, 10)}) == 7


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("64K", 65536), ("256m", 256 * MIB), ("1.5G", 1536 * MIB), ("2MiB", 2 * MIB)],
)
def test_a_size_is_written_as_people_write_it(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1,5G", "1e9", "0x10"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="256M"):
        parse_size(text)


def test_the_command_lines_limits_are_the_apis() -> None:
    given = AskedLimits(timeout=1.5, cpu=2, memory=MIB, processes=3, open_files=20, disk=5, output=6)
    message = given.to_message()
    assert message == asked(
        timeout=1.5, cpu_time=2, memory_bytes=MIB, processes=3, open_files=20, disk_bytes=5, output_bytes=6
    )
    assert AskedLimits().to_message() is None
