"""What submitted code can do to a box: every program here is somebody's worst one."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from services.runner.sandbox.bubblewrap import BubblewrapBox, open_box

from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.box import BoxEnd, BoxJob, EndedBy
from taskandgo.words import Stream

MIB = 1024 * 1024
PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
PREFIX = str(Path(PYTHON).parent.parent)


@pytest.fixture
async def box() -> AsyncIterator[BubblewrapBox]:
    """A box; after the test no process of it may be left."""
    yield await open_box(64 * MIB)
    left = await asyncio.create_subprocess_exec("pgrep", "-P", str(os.getpid()), "bwrap", stdout=-1)
    assert (await left.communicate())[0] == b""


def job(code: str, *, timeout: float = 20, stdin: bytes = b"", limit: int = 64 * MIB, keep: int = MIB) -> BoxJob:
    """Python code as a job."""
    return BoxJob(
        argv=(PYTHON, "main.py"),
        files={"main.py": code.encode()},
        read_only=() if PREFIX.startswith("/usr") else (PREFIX,),
        stdin=stdin,
        timeout_seconds=timeout,
        keep_bytes=keep,
        output_limit_bytes=limit,
    )


async def run(box: BubblewrapBox, code: str, stdin: bytes = b"") -> BoxEnd:
    """The end of Python code that ends by itself."""
    end = await box.run(job(code, stdin=stdin))
    assert end.ended_by is EndedBy.EXIT, end
    return end


async def lines(box: BubblewrapBox, code: str) -> list[str]:
    """What Python code prints."""
    end = await run(box, code)
    assert end.exit_code == 0, end.stderr.data
    return end.stdout.data.decode().splitlines()


async def test_the_exit_code_is_the_codes_own(box: BubblewrapBox) -> None:
    assert (await run(box, "raise SystemExit(7)")).exit_code == 7


@pytest.mark.parametrize(("number", "exit_code"), [(11, 139), (9, 137), (15, 143)])
async def test_a_signal_shows_in_the_exit_code(box: BubblewrapBox, number: int, exit_code: int) -> None:
    assert (await run(box, f"import os; os.kill(os.getpid(), {number})")).exit_code == exit_code


async def test_a_traceback_shows_the_line(box: BubblewrapBox) -> None:
    end = await run(box, "x = 1\nraise ValueError('here')")
    assert b'main.py", line 2' in end.stderr.data
    assert end.exit_code == 1


async def test_much_output_is_counted_and_its_beginning_kept(box: BubblewrapBox) -> None:
    code = "import sys\nfor _ in range(100): sys.stdout.write('x' * 1024 * 1024)"
    end = await box.run(job(code, limit=200 * MIB))
    assert (end.exit_code, len(end.stdout.data), end.stdout.total_bytes) == (0, MIB, 100 * MIB)
    assert end.stdout.truncated


async def test_endless_output_is_ended(box: BubblewrapBox) -> None:
    end = await box.run(job("while True: print('x' * 1000)"))
    assert (end.ended_by, end.exit_code) == (EndedBy.OUTPUT_LIMIT, None)
    assert len(end.stdout.data) == MIB


async def test_bytes_that_are_no_text_come_as_they_are(box: BubblewrapBox) -> None:
    end = await run(box, r"import sys; sys.stdout.buffer.write(b'\x00\xff\xfe\n\x80')")
    assert end.stdout.data == b"\x00\xff\xfe\n\x80"


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "while True: pass",
        "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)",
        "import os, time; os.close(1); os.close(2); time.sleep(60)",
        "import os, time\nif os.fork() == 0: os.setsid()\ntime.sleep(60)",
    ],
)
async def test_what_does_not_end_is_ended_at_its_timeout(box: BubblewrapBox, code: str) -> None:
    end = await box.run(job(code, timeout=0.3))
    assert (end.ended_by, end.exit_code) == (EndedBy.TIMEOUT, None)
    assert end.wall_seconds < 2


@pytest.mark.parametrize("streams", ["", "os.close(0); os.close(1); os.close(2)\n"])
async def test_children_left_behind_die_with_their_parent(box: BubblewrapBox, streams: str) -> None:
    code = f"import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  {streams}  time.sleep(60)\n"
    end = await run(box, code)
    assert end.exit_code == 0
    assert end.wall_seconds < 5


async def test_closed_output_is_no_end(box: BubblewrapBox) -> None:
    end = await run(box, "import os, time; os.close(1); time.sleep(0.2); os._exit(3)")
    assert end.exit_code == 3
    assert end.wall_seconds >= 0.2


async def test_stdin_is_empty_unless_given(box: BubblewrapBox) -> None:
    assert await lines(box, "import sys; print(repr(sys.stdin.read()))") == ["''"]


async def test_a_large_stdin_is_read_whole_while_output_is_written(box: BubblewrapBox) -> None:
    given = b"0123456789abcdef" * (MIB // 4)
    end = await box.run(job("import sys; sys.stdout.write(sys.stdin.read())", stdin=given, keep=8 * MIB))
    assert end.stdout.data == given


async def test_stdin_that_nobody_reads_is_no_trouble(box: BubblewrapBox) -> None:
    assert (await run(box, "print(1)", stdin=b"x" * 4 * MIB)).exit_code == 0


async def test_neither_environment_nor_descriptors_are_inherited(
    box: BubblewrapBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "secret")
    canary = os.open(tmp_path / "canary", os.O_CREAT | os.O_RDONLY)
    os.set_inheritable(canary, True)  # noqa: FBT003 - no keyword there
    try:
        code = (
            "import os\nfor fd in os.listdir('/proc/self/fd'):\n"
            " try: print(fd, os.readlink('/proc/self/fd/' + fd))\n except OSError: pass\nprint(dict(os.environ))"
        )
        printed = await lines(box, code)
    finally:
        os.close(canary)
    assert [line.split()[0] for line in printed[:-1]] == ["0", "1", "2"]
    assert "secret" not in printed[-1]


async def test_there_is_no_network(box: BubblewrapBox) -> None:
    with_server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with with_server:
        port = with_server.sockets[0].getsockname()[1]
        code = (
            "import socket\nprint([name for _, name in socket.if_nameindex()])\n"
            f"try: socket.create_connection(('127.0.0.1', {port}), 2)\nexcept OSError as e: print(type(e).__name__)"
        )
        assert await lines(box, code) == ["['lo']", "ConnectionRefusedError"]


async def test_the_host_and_the_product_cannot_be_read(box: BubblewrapBox) -> None:
    here = Path(__file__).parents[2]
    hidden = ["/etc/shadow", "/etc/passwd", "/root", "/home", "/var", "/sys", str(here / "services")]
    # The way to an interpreter outside /usr exists as empty folders.
    hidden = [path for path in hidden if not Path(sys.base_prefix).is_relative_to(path)]
    assert await lines(box, f"import os\nfor p in {hidden!r}: print(os.path.exists(p))") == ["False"] * len(hidden)


async def test_no_process_of_the_host_is_seen(box: BubblewrapBox) -> None:
    (seen,) = await lines(box, "import os; print(sum(p.isdigit() for p in os.listdir('/proc')))")
    assert int(seen) <= 3


async def test_nothing_outside_the_working_directory_can_be_written(box: BubblewrapBox) -> None:
    code = (
        "for p in ('/x', '/usr/x', '/dev/x', '/bin/x', '/proc/sys/kernel/hostname'):\n"
        " try: open(p, 'w'); print('wrote', p)\n except OSError: print('refused')"
    )
    assert await lines(box, code) == ["refused"] * 5


async def test_no_setting_of_the_kernel_can_be_written(box: BubblewrapBox) -> None:
    code = (
        "import os\nfor folder, _, names in os.walk('/proc'):\n for name in names:\n"
        "  path = folder + '/' + name\n  if not os.path.islink(path) and os.access(path, os.W_OK): print(path)"
    )
    assert await lines(box, code) == []


async def test_it_runs_without_any_right(box: BubblewrapBox) -> None:
    code = (
        "import os\nprint(os.getuid(), os.getgid())\n"
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapBnd'))])"
    )
    assert await lines(box, code) == ["65534 65534", str(["0" * 16, "0" * 16])]


async def test_the_working_directory_is_empty_private_and_bounded(box: BubblewrapBox) -> None:
    code = (
        "import os\nprint(os.getcwd(), os.listdir('.'))\nopen('left', 'w').write('x')\n"
        "try: open('big', 'wb').write(bytes(100 * 1024 * 1024))\nexcept OSError as e: print(e.strerror)"
    )
    expected = ["/work ['main.py']", "No space left on device"]
    assert await lines(box, code) == expected
    assert await lines(box, code) == expected


async def test_output_is_seen_while_it_is_written(box: BubblewrapBox) -> None:
    seen: list[tuple[Stream, int, bytes]] = []
    job_ = job("import os; os.write(1, b'one'); os.write(2, b'two')")
    await box.run(job_, lambda stream, offset, data: seen.append((stream, offset, data)))
    assert sorted(seen) == [(Stream.STDERR, 0, b"two"), (Stream.STDOUT, 0, b"one")]


async def test_a_cancel_kills_within_a_second(box: BubblewrapBox) -> None:
    handle = RunningChunk()
    started = time.monotonic()
    ready = asyncio.Event()
    code = "import time; print(1, flush=True); time.sleep(60)"
    running = asyncio.create_task(box.run(job(code), lambda *_: ready.set(), handle))
    await ready.wait()
    handle.cancel()
    end = await running
    assert (end.ended_by, end.stdout.data) == (EndedBy.CANCEL, b"1\n")
    assert time.monotonic() - started < 1.5


async def test_cancelling_the_caller_kills_the_job(box: BubblewrapBox) -> None:
    ready = asyncio.Event()
    code = "import time; print(1, flush=True); time.sleep(60)"
    running = asyncio.create_task(box.run(job(code), lambda *_: ready.set()))
    await ready.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_box_that_cannot_be_set_up_is_told_from_code_that_failed(box: BubblewrapBox) -> None:
    missing = BoxJob(("/no-such-program",), 5, 1024, 1024)
    end = await box.run(missing)
    assert (end.ended_by, end.exit_code) == (EndedBy.SETUP, None)
    assert "no-such-program" in end.problem


async def test_usage_is_measured(box: BubblewrapBox) -> None:
    end = await run(box, "x = bytearray(64 * 1024 * 1024)\nfor n in range(3_000_000): pass")
    assert end.peak_memory_bytes > 64 * MIB
    assert 0.01 < end.cpu_seconds <= end.wall_seconds * 1.5


async def test_jobs_leave_no_descriptors_open(box: BubblewrapBox) -> None:
    await run(box, "pass")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    await asyncio.gather(*(run(box, "print(1)", b"in") for _ in range(10)))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
