"""What every run is promised: its exit code, output, limits, usage and files, and an end whatever happens."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.box import BoxJob, EndedBy, SandboxUnavailableError
from services.runner.sandbox.inside.plan import ZygotePlan
from services.runner.sandbox.interpreter import examine
from services.runner.sandbox.sandbox import open_sandbox
from services.runner.sandbox.sealed import SealedFile
from services.runner.sandbox.zygote_process import start_zygote
from taskandgo.words import Stream
from tests.sandbox.attacks.attacked import descendants
from tests.sandbox.boxes import LEVELS, LIMITS, MIB, NOBODY, Runs, interpreter, job, plan

FOREVER = "import time; print(1, flush=True); time.sleep(60)"


@pytest.fixture(scope="module", params=LEVELS)
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Runs]:
    """A sandbox at each of the levels."""
    async with open_sandbox(plan(request.param, name=f"box-{request.param}")) as sandbox:
        yield Runs(sandbox)


@pytest.fixture(scope="module")
async def strict() -> AsyncIterator[Runs]:
    """A strict sandbox."""
    async with open_sandbox(plan(name="box")) as sandbox:
        yield Runs(sandbox)


async def test_the_exit_code_is_the_codes_own(box: Runs) -> None:
    assert (await box.exit("raise SystemExit(7)")).exit_code == 7


@pytest.mark.parametrize(("number", "exit_code"), [(11, 139), (9, 137), (15, 143)])
async def test_a_signal_shows_in_the_exit_code(box: Runs, number: int, exit_code: int) -> None:
    assert (await box.exit(f"import os; os.kill(os.getpid(), {number})")).exit_code == exit_code


async def test_a_traceback_shows_line_and_source_and_nothing_of_ours(box: Runs) -> None:
    end = await box.exit("x = 1\ndef f():\n    raise ValueError('here')\nf()")
    lines = end.stderr.data.decode().splitlines()
    assert [line.split(",", 1)[1] for line in lines if "File" in line] == [" line 4, in <module>", " line 3, in f"]
    assert "    raise ValueError('here')" in lines
    assert end.exit_code == 1


async def test_much_output_is_counted_and_its_beginning_kept(box: Runs) -> None:
    code = "import sys\nfor _ in range(12): sys.stdout.write('x' * 1024 * 1024)"
    end = await box.exit(code)
    assert (end.exit_code, len(end.stdout.data), end.stdout.total_bytes) == (0, MIB, 12 * MIB)
    assert end.stdout.truncated


async def test_endless_output_is_ended(box: Runs) -> None:
    end = await box.end("while True: print('x' * 1000)")
    assert (end.ended_by, end.exit_code) == (EndedBy.OUTPUT_LIMIT, None)
    assert len(end.stdout.data) == MIB


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "while True: pass",
        "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)",
        "import os, time; os.close(1); os.close(2); time.sleep(60)",
    ],
)
async def test_what_does_not_end_is_ended_at_its_timeout(box: Runs, code: str) -> None:
    end = await box.end(code, timeout_seconds=0.3)
    assert (end.ended_by, end.exit_code) == (EndedBy.TIMEOUT, None)
    assert 0.3 <= end.wall_seconds < 1.3


async def test_closed_output_is_no_end(box: Runs) -> None:
    end = await box.exit("import os, time; os.close(1); os.close(2); time.sleep(0.2); os._exit(3)")
    assert end.exit_code == 3
    assert end.wall_seconds >= 0.2


async def test_stdin_is_empty_unless_given(box: Runs) -> None:
    assert await box.says("import sys; print(repr(sys.stdin.read()))") == "''"


async def test_a_large_stdin_is_read_whole_while_output_is_written(box: Runs) -> None:
    given = b"0123456789abcdef" * (MIB // 4)
    end = await box.exit("import sys; sys.stdout.write(sys.stdin.read())", stdin=given, keep=8 * MIB)
    assert end.stdout.data == given


async def test_stdin_that_nobody_reads_is_no_trouble(box: Runs) -> None:
    assert (await box.exit("print(1)", stdin=b"x" * 4 * MIB)).exit_code == 0


async def test_the_environment_is_the_given_one(box: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "secret")
    said = await box.says("import os; print(sorted(os.environ), os.environ['A'])", env={"A": "ä = b"})
    assert said == "['A', 'HOME', 'LANG', 'PATH'] ä = b"


async def test_a_program_of_its_own_holds_three_descriptors(strict: Runs) -> None:
    # It was told with one more, on which it could speak for its box.
    listing = "for n in 3 4 5 6 7 8 9 10 11 12 13 14 15; do (echo problem >&$n) 2>/dev/null && echo $n; done; echo done"
    told = replace(job(""), argv=("/bin/sh", "-c", listing))
    end = await strict.sandbox.run(told)
    assert (end.ended_by, end.stdout.data) == (EndedBy.EXIT, b"done\n")


async def test_files_lie_in_the_working_directory(strict: Runs) -> None:
    told = replace(job(""), files={"main.py": b"print(open('data').read())", "data": b"x" * 10})
    assert (await strict.sandbox.run(told)).stdout.data == b"x" * 10 + b"\n"


async def test_a_sealed_program_runs(strict: Runs) -> None:
    program = SealedFile(Path("/bin/echo").read_bytes())
    end = await strict.sandbox.run(replace(job(""), argv=("echo", "said"), program=program.fd))
    assert (end.exit_code, end.stdout.data) == (0, b"said\n")


async def test_output_is_seen_while_it_is_written(box: Runs) -> None:
    seen: list[tuple[Stream, int, bytes]] = []
    await box.end("import os; os.write(1, b'one'); os.write(2, b'two')", lambda *each: seen.append(each))
    assert sorted(seen) == [(Stream.STDERR, 0, b"two"), (Stream.STDOUT, 0, b"one")]


async def test_a_line_is_seen_when_it_is_printed(box: Runs) -> None:
    seen = asyncio.Event()
    handle = RunningChunk()
    running = asyncio.create_task(
        box.sandbox.run(job("print(1); import time; time.sleep(60)"), lambda *_: seen.set(), handle)
    )
    await seen.wait()
    handle.cancel()
    assert (await running).stdout.data == b"1\n"


async def test_a_cancel_kills_within_a_second(box: Runs) -> None:
    handle, ready = RunningChunk(), asyncio.Event()
    running = asyncio.create_task(box.sandbox.run(job(FOREVER), lambda *_: ready.set(), handle))
    await ready.wait()
    started = time.monotonic()
    handle.cancel()
    end = await running
    assert (end.ended_by, end.stdout.data) == (EndedBy.CANCEL, b"1\n")
    assert time.monotonic() - started < 1


async def test_cancelling_the_caller_kills_the_job(box: Runs) -> None:
    ready = asyncio.Event()
    running = asyncio.create_task(box.end(FOREVER, lambda *_: ready.set()))
    await ready.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_box_that_cannot_be_set_up_is_told_from_code_that_failed(strict: Runs) -> None:
    end = await strict.sandbox.run(BoxJob(LIMITS, 1024, argv=("/no-such-program",)))
    assert (end.ended_by, end.exit_code) == (EndedBy.SETUP, None)
    assert "no-such-program" in end.problem


async def test_limits_wider_than_usual_are_given_too(strict: Runs) -> None:
    code = "open('a', 'wb').write(bytes(20 << 20)); a = b'x' * (150 << 20); print(len(a))"
    assert await strict.says(code, disk_bytes=32 * MIB, memory_bytes=256 * MIB) == str(150 * MIB)


async def test_usage_is_measured(box: Runs) -> None:
    end = await box.exit("x = b'x' * (64 << 20)\nfor n in range(3_000_000): pass\nimport time; time.sleep(0.1)")
    assert 64 * MIB < end.peak_memory_bytes < 128 * MIB
    assert 0.01 < end.cpu_seconds <= end.wall_seconds * 1.5
    assert end.wall_seconds > 0.1


async def test_what_ended_a_run_by_force_has_used_is_told(box: Runs) -> None:
    end = await box.end("while True: pass", timeout_seconds=0.5)
    assert 0.1 < end.cpu_seconds < 1


async def test_a_folder_can_be_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("shown")
    folder.chmod(0o755)
    (folder / "file").write_text("seen")
    async with open_sandbox(plan(name="shown")) as sandbox:
        before = asyncio.create_task(Runs(sandbox).says("import time; time.sleep(0.3); print(1)"))
        await asyncio.sleep(0.1)
        await sandbox.show({str(folder): "/shown"})
        assert await Runs(sandbox).says("print(open('/shown/file').read())") == "seen"
        assert await before == "1"


async def test_a_zygote_that_is_outlived_by_who_holds_its_channel_takes_nobodys_place(tmp_path: Path) -> None:
    outlived = tmp_path / "python"
    outlived.write_text("#!/bin/sh\nsleep 20 >/dev/null 2>&1 &\necho $!\n")
    outlived.chmod(0o755)
    with pytest.raises(SandboxUnavailableError) as refused:
        await start_zygote(str(outlived), ZygotePlan("strict", [], [], NOBODY, []))
    try:
        # Its descriptors have the numbers that the first one's had.
        made_of = await examine(interpreter(), ())
        shown = [(outside, inside) for inside, outside in made_of.shown.items()]
        async with asyncio.timeout(15):
            zygote = await start_zygote(made_of.path, ZygotePlan("strict", shown, [], NOBODY, []))
        await zygote.end()
    finally:
        os.kill(int(str(refused.value)), signal.SIGKILL)


async def test_no_zygote_is_left_when_another_does_not_start(tmp_path: Path) -> None:
    before = descendants()
    second_fails = tmp_path / "python"
    second_fails.write_text(
        f"#!/bin/sh\nmkdir {tmp_path}/1 2>&- || {{ mkdir {tmp_path}/2 2>&- && exit 3; sleep 0.5; }}\n"
        f'exec {interpreter()} "$@"\n'
    )
    second_fails.chmod(0o755)
    with pytest.raises(SandboxUnavailableError, match="the zygote ended with code 3"):
        async with open_sandbox(replace(plan(name="halves", slots=9), interpreter=str(second_fails))):
            pytest.fail("it opened")
    assert descendants() - before == set()


async def test_an_interpreter_that_is_none_is_refused() -> None:
    with pytest.raises(SandboxUnavailableError):
        async with open_sandbox(replace(plan(name="none"), interpreter="/bin/false")):
            pass


async def test_an_open_sandbox_that_is_closed_leaves_nothing() -> None:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(3):
        async with open_sandbox(plan(name="closed")):
            pass
    async with open_sandbox(plan(name="closed")) as sandbox:
        assert await Runs(sandbox).says("print(1)") == "1"
        running = [asyncio.create_task(Runs(sandbox).end(FOREVER)) for _ in range(4)]
        await asyncio.sleep(0)
    ends = await asyncio.gather(*running)
    assert {end.ended_by for end in ends} == {EndedBy.SETUP}
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
