"""Every limit of a task, through a whole runner: enforced, told by its outcome, raised on request, cut to the most."""

import textwrap
from collections.abc import AsyncIterator

import pytest

from services.runner.limits import granted
from services.runner.main import serve
from services.runner.sandbox.cgroups.find_cgroups import find_cgroups
from services.runner.sandbox.cgroups.runner_cgroups import NoCgroups
from taskandgo.broker.memory import open_memory
from taskandgo.task import AttemptResult, Limits
from taskandgo.words import Outcome
from tests.sandbox.runner_at_work import Running, hear, settings

MIB = 1024**2
#: What the runner of these tests grants: little, so that the tests are quick.
GRANTED = {
    "runner_default_cpu_seconds": 5,
    "runner_max_cpu_seconds": 30,
    "runner_default_memory_bytes": 128 * MIB,
    "runner_max_memory_bytes": 256 * MIB,
    "runner_default_processes": 8,
    "runner_max_processes": 16,
    "runner_default_open_files": 32,
    "runner_max_open_files": 64,
    "runner_default_disk_bytes": 8 * MIB,
    "runner_max_disk_bytes": 16 * MIB,
    "runner_default_output_bytes": 64 * 1024,
    "runner_max_output_bytes": 128 * 1024,
    "runner_default_timeout_seconds": 20,
    "runner_max_timeout_seconds": 25,
}

FORKS = """
import os, time
made = 0
try:
    while made < 200:
        if os.fork() == 0:
            time.sleep(30)
        made += 1
except BlockingIOError as error:
    print(made, error.errno)
else:
    print(made)
"""
OPENS = """
kept = []
try:
    while len(kept) < 1000:
        kept.append(open("main.py"))
except OSError as error:
    print(3 + len(kept), error.errno)
"""
WRITES = """
written = 0
try:
    for number in range(64):
        with open(f"file-{number}", "wb", buffering=0) as file:
            for _ in range(16):
                written += file.write(bytes(64 * 1024))
except OSError as error:
    print(written // 1024, error.errno)
"""
MAKES_FILES = """
made = 0
try:
    while made < 10_000:
        open(f"empty-{made}", "w").close()
        made += 1
except OSError as error:
    print(made, error.errno)
"""
#: Uses memory, page by page, as much as it says.
TAKES = "kept = bytearray({bytes})\nfor place in range(0, len(kept), 4096): kept[place] = 1\nprint(len(kept))"
#: Several processes, none of which uses much.
TAKE_TOGETHER = """
import os, time
for _ in range(5):
    if os.fork() == 0:
        kept = bytearray({bytes})
        for place in range(0, len(kept), 4096): kept[place] = 1
        time.sleep(30)
        os._exit(0)
for _ in range(5):
    os.wait()
"""
BURN_TOGETHER = """
import os
for _ in range(3):
    if os.fork() == 0:
        while True: pass
for _ in range(3):
    os.wait()
"""


@pytest.fixture(params=["cgroups", "no cgroups"], scope="module")
async def runner(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """A runner at work, that has cgroups or has none."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "no cgroups":
            patch.setattr("services.runner.sandbox.meter.find_cgroups", lambda *_runner: NoCgroups("left out"))
        elif isinstance(found := find_cgroups("probe-of-test-limits"), NoCgroups):
            pytest.skip(f"no cgroups here: {found.reason}")
        else:
            found.close()
        async with open_memory() as broker:
            heard = await hear(broker)
            async with serve(settings(**GRANTED), broker):
                yield Running(broker, heard)


async def limited(runner: Running, code: str, **limits: float) -> AttemptResult:
    """The result of code under limits; the next code runs in a box that feels nothing of it."""
    result = await runner.result(textwrap.dedent(code), limits=Limits(**limits))  # type: ignore[arg-type]
    after = await runner.result("print('well')")
    assert (after.outcome, after.stdout) == (Outcome.SUCCEEDED, b"well\n"), after
    return result


async def printed(runner: Running, code: str, **limits: float) -> list[int]:
    """The numbers that code prints which ends well."""
    result = await limited(runner, code, **limits)
    assert result.outcome is Outcome.SUCCEEDED, result
    return [int(number) for number in result.stdout.split()]


async def test_the_timeout_ends_what_sleeps(runner: Running) -> None:
    result = await limited(runner, "import time; time.sleep(30)", timeout_seconds=0.5)
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, "ran longer than its timeout of 0.5 s")
    assert 0.5 <= result.usage.wall_seconds < 5
    assert result.usage.cpu_seconds < 0.5


def test_what_is_asked_beyond_the_most_is_cut_to_it() -> None:
    asked = Limits(timeout_seconds=9e9, cpu_seconds=9e9, memory_bytes=2**60, processes=9999, output_bytes=2**60)
    given = granted(asked, settings(**GRANTED))
    assert (given.timeout_seconds, given.cpu_seconds, given.memory_bytes) == (25, 30, 256 * MIB)
    assert (given.processes, given.output_bytes) == (16, 128 * 1024)


async def test_cpu_time_ends_what_computes(runner: Running) -> None:
    result = await limited(runner, "while True: pass", cpu_seconds=0.5)
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, "used more CPU time than its limit of 0.5 s")
    assert 0.4 <= result.usage.cpu_seconds < 2


async def test_cpu_time_counts_all_processes_together(runner: Running) -> None:
    result = await limited(runner, BURN_TOGETHER, cpu_seconds=1)
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, "used more CPU time than its limit of 1 s")
    # Each for itself would have had its second.
    assert result.usage.wall_seconds < 15


async def test_memory_that_is_refused_is_out_of_memory(runner: Running) -> None:
    result = await limited(runner, TAKES.format(bytes=400 * MIB))
    assert (result.outcome, result.reason) == (Outcome.OUT_OF_MEMORY, "used more memory than its limit of 128 MiB")
    assert b"MemoryError" in result.stderr


async def test_memory_of_several_processes_is_counted_together(runner: Running) -> None:
    result = await limited(runner, TAKE_TOGETHER.format(bytes=48 * MIB))
    assert (result.outcome, result.reason) == (Outcome.OUT_OF_MEMORY, "used more memory than its limit of 128 MiB")
    assert result.exit_code is None


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("import os; os.kill(os.getpid(), 9)", Outcome.KILLED),
        ("import os; os.kill(os.getpid(), 11)", Outcome.KILLED),
        ("import os; os.abort()", Outcome.KILLED),
        ("raise ValueError('MemoryError')", Outcome.FAILED),
        ("try: bytearray(2**40)\nexcept MemoryError: raise SystemExit(3)", Outcome.FAILED),
        ("try: bytearray(2**40)\nexcept MemoryError: pass", Outcome.SUCCEEDED),
    ],
)
async def test_a_crash_is_not_out_of_memory(runner: Running, code: str, outcome: Outcome) -> None:
    assert (await limited(runner, code)).outcome is outcome


async def test_more_memory_than_the_default_is_granted(runner: Running) -> None:
    code = TAKES.format(bytes=160 * MIB)
    assert await printed(runner, code, memory_bytes=220 * MIB) == [160 * MIB]
    assert (await limited(runner, code)).outcome is Outcome.OUT_OF_MEMORY


async def test_memory_is_cut_to_the_most(runner: Running) -> None:
    result = await limited(runner, TAKES.format(bytes=300 * MIB), memory_bytes=2048 * MIB)
    assert (result.outcome, result.reason) == (Outcome.OUT_OF_MEMORY, "used more memory than its limit of 256 MiB")


async def test_the_least_memory_that_may_be_asked_for_runs_a_program(runner: Running) -> None:
    assert await printed(runner, "print(6 * 7)", memory_bytes=16 * MIB) == [42]


async def test_peak_memory_is_what_the_code_took(runner: Running) -> None:
    code = TAKES.format(bytes=64 * MIB) + "; import time; time.sleep(0.5)"  # long enough to be looked at
    used = (await limited(runner, code)).usage.peak_memory_bytes
    assert 60 * MIB < used < 120 * MIB


@pytest.mark.parametrize(("asked", "granted"), [({}, 8), ({"processes": 3}, 3), ({"processes": 12}, 12)])
async def test_processes_are_bounded(runner: Running, asked: dict[str, int], granted: int) -> None:
    # The code itself is one of them.
    assert await printed(runner, FORKS, **asked) == [granted - 1, 11]


async def test_processes_are_cut_to_the_most(runner: Running) -> None:
    assert await printed(runner, FORKS, processes=100) == [15, 11]


@pytest.mark.parametrize(
    ("asked", "granted"), [({}, 32), ({"open_files": 16}, 16), ({"open_files": 50}, 50), ({"open_files": 9999}, 64)]
)
async def test_open_files_are_bounded(runner: Running, asked: dict[str, int], granted: int) -> None:
    assert await printed(runner, OPENS, **asked) == [granted, 24]


@pytest.mark.parametrize(
    ("asked", "granted"),
    [({}, 8), ({"disk_bytes": 2 * MIB}, 2), ({"disk_bytes": 12 * MIB}, 12), ({"disk_bytes": 2**40}, 16)],
)
async def test_disk_is_bounded(runner: Running, asked: dict[str, int], granted: int) -> None:
    kib, error = await printed(runner, WRITES, **asked)
    assert error == 28
    # The program itself lies there too.
    assert granted * 1024 - 64 <= kib <= granted * 1024


async def test_files_are_bounded_even_when_they_are_empty(runner: Running) -> None:
    made, error = await printed(runner, MAKES_FILES, disk_bytes=2 * MIB)
    assert error == 28
    assert 100 < made <= 128


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ({}, 65536),
        ({"output_bytes": 100}, 100),
        ({"output_bytes": 100_000}, 100_000),
        ({"output_bytes": 2**40}, 131_072),
    ],
)
async def test_output_is_bounded(runner: Running, asked: dict[str, int], granted: int) -> None:
    result = await limited(runner, "while True: print('x' * 99)", **asked)
    assert (result.outcome, result.reason) == (Outcome.OUTPUT_LIMIT, f"wrote more than {granted} bytes")
    assert result.exit_code is None
    assert result.usage.output_bytes > granted


async def test_both_streams_count_as_output(runner: Running) -> None:
    code = "import os\nos.write(1, b'x' * 60)\nos.write(2, b'x' * 60)\nimport time; time.sleep(20)"
    assert (await limited(runner, code, output_bytes=100)).outcome is Outcome.OUTPUT_LIMIT


@pytest.mark.parametrize("kind", ["RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_FSIZE"])
async def test_code_cannot_raise_its_limits(runner: Running, kind: str) -> None:
    code = f"""
    import resource
    try: resource.setrlimit(resource.{kind}, (resource.RLIM_INFINITY,) * 2)
    except ValueError: print(1)
    """
    assert await printed(runner, code) == [1]
