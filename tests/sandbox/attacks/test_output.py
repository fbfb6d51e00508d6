"""Output and input: what is kept is bounded, the rest is counted, and no writer slows down the runner or another run."""

import asyncio
import resource

import pytest

from services.runner.sandbox.box import EndedBy
from tests.sandbox.attacks.attacked import Attacked
from tests.sandbox.boxes import MIB

KEEP = 64 * 1024


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_endless_output_is_ended(stream: str, box: Attacked) -> None:
    end = await box.end(
        f"import sys\nwhile True: print('x' * 1000, file=sys.{stream})", keep=KEEP, output_bytes=4 * MIB
    )
    assert (end.ended_by, end.exit_code) == (EndedBy.OUTPUT_LIMIT, None)
    assert len(getattr(end, stream).data) == KEEP
    # A program writes a megabyte in the millisecond that its death may take.
    assert 4 * MIB < getattr(end, stream).total_bytes < 64 * MIB


async def test_one_long_line_is_cut(box: Attacked) -> None:
    end = await box.end("import os\nfor _ in range(8): os.write(1, b'x' * (1 << 20))", keep=KEEP)
    assert (end.exit_code, len(end.stdout.data), end.stdout.total_bytes) == (0, KEEP, 8 * MIB)
    assert end.stdout.truncated


async def test_both_streams_count_together(box: Attacked) -> None:
    code = "import os, time\nfor n in 1, 2: os.write(n, b'x' * 600_000)\ntime.sleep(60)"
    end = await box.end(code, keep=KEEP, output_bytes=MIB)
    assert end.ended_by is EndedBy.OUTPUT_LIMIT
    assert MIB < end.stdout.total_bytes + end.stderr.total_bytes <= 1_200_000


ODD = b"\x00\xff\xfe\x80\r\n\x1b]0;title\x07\x1b[2J\xed\xa0\x80"


async def test_odd_bytes_come_as_they_are(box: Attacked) -> None:
    end = await box.end(f"import os; os.write(1, {ODD!r}); os.write(2, {ODD!r})")
    assert end.stdout.data == end.stderr.data == ODD


@pytest.mark.parametrize("direct", [False, True])
async def test_single_bytes_do_not_keep_the_runner_busy(direct: bool, box: Attacked) -> None:  # noqa: FBT001
    packets = (
        "import fcntl\nfor f in 1, 2: fcntl.fcntl(f, fcntl.F_SETFL, os.O_DIRECT | os.O_WRONLY)\n" if direct else ""
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    end = await box.end(f"import os\n{packets}while True: os.write(1, b'x'); os.write(2, b'y')", timeout_seconds=1)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert end.ended_by is EndedBy.TIMEOUT
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6


async def test_who_fills_its_output_and_waits_is_ended(box: Attacked) -> None:
    others = [asyncio.create_task(box.says(f"print({n})")) for n in range(8)]
    end = await box.end(
        "import os, time\nos.write(1, b'x' * (1 << 20)); time.sleep(60)", keep=KEEP, timeout_seconds=0.5
    )
    assert (end.ended_by, end.stdout.total_bytes) == (EndedBy.TIMEOUT, MIB)
    assert [await other for other in others] == [str(n) for n in range(8)]


async def test_input_ends(box: Attacked) -> None:
    assert await box.says(
        "import sys; print(len(sys.stdin.read()), sys.stdin.read(), sys.stdin.readline())", stdin=b"x" * MIB
    ) == str(MIB)
    assert await box.says("import os; print(os.read(0, 100), os.read(0, 100))") == "b'' b''"


async def test_the_output_cannot_be_read_back_or_taken(box: Attacked) -> None:
    await box.refuses(
        "os.read(1, 1)",
        "os.read(2, 1)",
        "__import__('fcntl').fcntl(1, 1031, 1 << 20)",
        "call('tee', 1, 2, 10, 0)",
        "call('splice', 0, 0, 1, 0, 10, 0)",
        "call('vmsplice', 1, 0, 0, 0)",
    )
