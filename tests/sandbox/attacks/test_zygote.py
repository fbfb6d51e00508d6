"""The zygote and the runner: no run sees or spoils what makes the next one, and nobody outlives the one who made it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.runner.running_chunks import RunningChunk
from services.runner.sandbox import living_box, zygote_process
from services.runner.sandbox.box import EndedBy
from services.runner.sandbox.sandbox import Sandbox, open_sandbox
from tests.sandbox.attacks.attacked import Attacked, children_of, descendants
from tests.sandbox.attacks.conftest import CANARY_VARIABLE
from tests.sandbox.boxes import LEVELS, MIB, Runs, interpreter_for, job, plan

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=LEVELS)
async def own(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Sandbox]:
    """A sandbox whose zygote may come to harm."""
    before = descendants()
    async with open_sandbox(plan(request.param, name=f"own-{request.param}")) as sandbox:
        yield sandbox
    # The zygotes of the other sandboxes here have boxes of their own, and make new ones when they please.
    theirs = set().union(*(descendants(pid) for pid in before))
    assert descendants() - before - theirs == set()


async def test_nothing_in_memory_is_the_runners(box: Attacked, canary: str) -> None:
    # Pages around what is known of are looked through by way of a pipe, which tells of those that are not there.
    code = (
        "import ctypes, gc, os, sys\nr, w = os.pipe()\nfor o in gc.get_objects():\n"
        " if isinstance(o, dict):\n  for k, v in list(o.items()):\n"
        "   if 'CANARY' in str(k)[:40].upper() and k != 'kind': print(k, str(v)[:80])\n"
        "libc = ctypes.CDLL(None)\nstarts = {id(o) >> 24 << 24 for o in gc.get_objects()}\n"
        "for start in starts:\n for page in range(start - (1 << 22), start + (1 << 24), 4096):\n"
        "  if libc.write(w, ctypes.c_void_p(page), 4096) == 4096:\n   data = os.read(r, 4096)\n"
        "   at = data.find(b'can' + b'ary-')\n   if at >= 0: print(data[at:at + 48])\n"
    )
    said = await box.says(code, memory_bytes=256 * MIB)
    assert canary not in said
    assert CANARY_VARIABLE not in said


async def test_what_a_run_does_to_the_interpreter_ends_with_it(box: Attacked) -> None:
    spoil = (
        "import builtins, gc, json, os, random, signal, sys, threading, types\n"
        "builtins.print = builtins.open = None\nsys.path[:] = ['/evil']; sys.meta_path.clear(); sys.modules.clear()\n"
        "os.environ['PYTHONPATH'] = '/evil'; random.seed(1); signal.signal(15, signal.SIG_IGN); os.umask(0)\n"
        "gc.disable(); gc.set_threshold(1); sys.setrecursionlimit(50); sys.setswitchinterval(100)\n"
        "json.loads = lambda _: 'evil'; sys.stdout = sys.stderr = None; sys.excepthook = None\n"
        "threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()\n"
        "for o in gc.get_objects():\n if isinstance(o, types.FunctionType):\n"
        "  try: o.__code__ = (lambda *a, **k: None).__code__\n  except ValueError: pass\n"
    )
    for _ in range(4):
        await box.end(spoil, timeout_seconds=1)
    code = (
        "import gc, json, os, random, signal, sys\n"
        "print(json.loads('[1]'), sys.getrecursionlimit(), gc.get_threshold()[0], signal.getsignal(15), os.environ.get('PYTHONPATH'))"
    )
    assert (await box.says(code)).startswith("[1] 1000 ")
    assert (await box.says(code)).endswith(" 0 None") or "SIG_DFL" in await box.says(code)


async def test_chance_differs_from_run_to_run(box: Attacked) -> None:
    code = "import os, random, secrets, tempfile, uuid; print(random.random(), uuid.uuid4(), secrets.token_hex(), os.urandom(8))"
    said = [await box.says(code) for _ in range(5)]
    assert len({word for words in said for word in words.split()}) >= 20


async def test_nothing_unflushed_comes_from_the_zygote(box: Attacked) -> None:
    end = await box.end("import sys; sys.stdout.flush(); sys.stderr.flush()")
    assert (end.stdout.data, end.stderr.data) == (b"", b"")


HEAVY = {
    "nested parentheses": "(" * 10**6,
    "nested calls": "f(" * 10**5 + ")" * 10**5,
    "a constant": "x = 'a' * 10**9 * 10**9",
    "a constant power": "x = 2 ** 10 ** 10",
    "null bytes": "\0" * 1000,
    "a long line": "x = '" + "a" * 2 * MIB + "'",
    "many names": "\n".join(f"x{n} = {n}" for n in range(50_000)),
    "a deep tree": "x = " + "-" * 10**5 + "1",
    "a coding": "# coding: idna\n" + "x",
    "the coding of what is not text": "# coding: base64\nMQ==",
    "an endless string": "'''" + "\\" * 10**6,
}


async def test_compiling_is_limited_too(box: Attacked) -> None:
    how = {"timeout_seconds": 6, "cpu_seconds": 1, "keep": 4096}
    ends = await asyncio.gather(*(box.end(source, **how) for source in HEAVY.values()))
    assert [name for name, end in zip(HEAVY, ends, strict=True) if end.ended_by is EndedBy.SETUP] == []
    assert max(end.wall_seconds for end in ends) < 7


async def test_a_source_that_does_not_fit_is_told(strict: Attacked) -> None:
    end = await strict.end(b"print(1)\n" + b"#" * 20 * MIB)
    assert end.ended_by is EndedBy.SETUP
    assert "does not fit" in end.problem


async def test_what_is_cancelled_while_its_box_is_made_leaves_nothing(box: Attacked) -> None:
    # Limits of its own: a box that stands ready does not do.
    for rounds in range(30):
        running = asyncio.create_task(box.sandbox.run(job("print(1)", disk_bytes=8 * MIB)))
        for _ in range(rounds % 10):
            await asyncio.sleep(0)
        running.cancel()
        assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
    # Whoever was given up has still to die.
    await box.says("import time; time.sleep(0.3)")


async def test_what_is_cancelled_at_any_time_leaves_nothing(box: Attacked) -> None:
    for delay in range(20):
        handle = RunningChunk()
        running = asyncio.create_task(box.sandbox.run(job("import time; time.sleep(60)"), handle=handle))
        await asyncio.sleep(delay / 5000)
        handle.cancel()
        assert (await running).ended_by is EndedBy.CANCEL


async def test_a_killed_zygote_takes_its_runs_with_it_and_is_replaced(own: Sandbox) -> None:
    runs = Runs(own)
    started = asyncio.Event()
    running = asyncio.create_task(
        runs.end("import time; print(1, flush=True); time.sleep(60)", lambda *_: started.set())
    )
    await started.wait()
    below = descendants(zygote(own))
    os.kill(zygote(own), signal.SIGKILL)
    assert (await running).ended_by is EndedBy.SETUP
    assert await runs.says("print(2)") == "2"
    assert not below & descendants()


async def test_a_zygote_that_hangs_is_replaced(own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living_box, "DEAD_SECONDS", 0.3)
    monkeypatch.setattr(zygote_process, "ANSWER_SECONDS", 0.3)
    runs = Runs(own)
    started = asyncio.Event()
    code = "import time; print(1, flush=True); time.sleep(60)"
    running = asyncio.create_task(runs.end(code, lambda *_: started.set(), timeout_seconds=0.5))
    await started.wait()
    for pid in (zygote(own), *children_of(zygote(own))):
        os.kill(pid, signal.SIGSTOP)
    assert (await running).ended_by is EndedBy.TIMEOUT
    assert await runs.says("print(2)") == "2"


def zygote(sandbox: Sandbox) -> int:
    """The number of a sandbox's zygote."""
    seated = sandbox._boxes._seats[0]._zygote
    assert seated
    return seated._process.pid


RUNNER = """
import asyncio, sys
sys.path.insert(0, {root!r})
from services.runner.sandbox.sandbox import open_sandbox
from tests.sandbox.boxes import Runs, plan
async def main():
    async with open_sandbox(plan({level!r}, name="killed")) as sandbox:
        await Runs(sandbox).end("import os, time\\ntry: os.fork()\\nexcept OSError: pass\\nprint('up', flush=True); time.sleep(60)", lambda *_: print("up", flush=True))
asyncio.run(main())
"""


@pytest.mark.parametrize("hung", [False, True])
@pytest.mark.parametrize("level", LEVELS)
async def test_with_the_runner_everything_dies(level: str, hung: bool) -> None:  # noqa: FBT001
    runner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUNNER.format(root=str(ROOT), level=level),
        stdout=-1,
        env=os.environ | {"RUNNER_PYTHON": interpreter_for(level)},
    )
    assert runner.stdout
    assert await runner.stdout.readline() == b"up\n"
    below = descendants(runner.pid)
    if hung:
        zygotes = children_of(runner.pid)
        makers = [maker for zygote in zygotes for maker in children_of(zygote)] if level == "strict" else []
        for pid in (*zygotes, *makers):
            os.kill(pid, signal.SIGSTOP)
    opened = [os.pidfd_open(pid) for pid in below]
    runner.kill()
    await runner.wait()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(5):
            for each in opened:
                gone = loop.create_future()
                loop.add_reader(each, lambda gone=gone: gone.done() or gone.set_result(None))
                await gone
                loop.remove_reader(each)
    finally:
        for each in opened:
            os.close(each)


async def test_three_hundred_at_once(strict: Attacked) -> None:
    hostile = [
        "while True: pass",
        "import os\nwhile True:\n try: os.fork()\n except OSError: pass",
        "bytearray(1 << 40)",
        "while True: print('x' * 999)",
    ]
    runs = [strict.end(f"print({n} ** 2)") for n in range(300)]
    runs[100:100] = [strict.end(code, timeout_seconds=1, output_bytes=MIB) for code in hostile]
    ends = await asyncio.gather(*runs)
    del ends[100 : 100 + len(hostile)]
    assert [end.stdout.data for end in ends] == [f"{n**2}\n".encode() for n in range(300)]
