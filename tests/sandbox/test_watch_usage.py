"""What is seen of real process trees without any cgroup, and what becomes of limits that they pass."""

import asyncio
import os
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from services.runner.sandbox.process_tree import ProcessTree, why_unwatchable
from services.runner.sandbox.watch_usage import Limit, Usage, UsageLimits, UsageWatch
from tests.sandbox.processes import answer, start, tell

MIB = 1024 * 1024
INTERVAL_SECONDS = 0.02
Start = Callable[[str], Awaitable[tuple[Process, int]]]

unwatchable = why_unwatchable()
pytestmark = pytest.mark.skipif(unwatchable is not None, reason=unwatchable or "")


@pytest.fixture
async def begin() -> AsyncIterator[Start]:
    """Starts a tree of processes; gives its first one and a pidfd, and ends them all after the test."""
    started: list[tuple[Process, int]] = []

    async def begun(code: str) -> tuple[Process, int]:
        process = await start(code)
        started.append((process, os.pidfd_open(process.pid)))
        await tell(process)
        return started[-1]

    yield begun
    for process, pidfd in started:
        end_children(process.pid)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(pidfd)


def end_children(pid: int) -> None:
    """Kill all below it; orphans are among its own children."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            end_children(int(child))
            os.kill(int(child), 9)


ORPHAN = """
if os.fork() == 0:
    if os.fork(): os._exit(0)
    os.setsid(); burn(0.4); say('done'); time.sleep(100)
signal.pause()
"""
ENDED = """
for _ in range(4):
    if os.fork() == 0: burn(0.1); os._exit(0)
    os.wait()
say('done')
signal.pause()
"""


@pytest.mark.parametrize("code", [ORPHAN, ENDED])
async def test_the_cpu_time_of_orphans_and_of_ended_processes_counts(begin: Start, code: str) -> None:
    process, pidfd = await begin(code)
    tree = ProcessTree(process.pid, pidfd)
    assert await answer(process) == "done"
    assert 0.3 <= tree.sample().cpu_seconds < 1.5


async def test_the_cpu_time_of_processes_that_nobody_waits_for_counts(begin: Start) -> None:
    process, pidfd = await begin("""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(3):
        if os.fork() == 0: burn(0.3); os._exit(0)
        try: os.wait()
        except ChildProcessError: pass
    say('done')
    signal.pause()
    """)
    tree = ProcessTree(process.pid, pidfd)
    said = asyncio.create_task(answer(process))
    while not said.done():
        tree.sample()
        await asyncio.sleep(0.05)
    tree.sample()
    # One sample finds it gone, the next one that nobody waited for it.
    assert 0.5 <= tree.sample().cpu_seconds < 1.2


async def test_no_cpu_time_counts_twice(begin: Start) -> None:
    process, pidfd = await begin("""
    for _ in range(60):
        if os.fork() == 0:
            if os.fork() == 0: burn(0.01); os._exit(0)
            os.wait(); burn(0.02); os._exit(0)
        os.wait()
    say(sum(os.times()[:4]))
    signal.pause()
    """)
    tree = ProcessTree(process.pid, pidfd)
    said = asyncio.create_task(answer(process))
    while not said.done():
        tree.sample()
        await asyncio.sleep(0.005)
    seen = [tree.sample().cpu_seconds for _ in range(3)][-1]
    assert seen == pytest.approx(float(said.result()), abs=0.15)


async def test_the_memory_of_all_processes_counts(begin: Start) -> None:
    process, pidfd = await begin("""
    for _ in range(3):
        if os.fork() == 0: held = bytearray(40 * 1024 * 1024); say('held'); time.sleep(100)
    signal.pause()
    """)
    tree = ProcessTree(process.pid, pidfd)
    assert [await answer(process) for _ in range(3)] == ["held"] * 3
    assert 120 * MIB < tree.sample().memory_bytes < 250 * MIB
    assert tree.peak_memory_bytes > 120 * MIB


async def test_shared_pages_count_once_where_it_matters(begin: Start) -> None:
    process, pidfd = await begin("""
    held = bytearray(80 * 1024 * 1024)
    for _ in range(4):
        if os.fork() == 0: say('shares'); time.sleep(100)
    signal.pause()
    """)
    assert [await answer(process) for _ in range(4)] == ["shares"] * 4
    assert ProcessTree(process.pid, pidfd).sample().memory_bytes > 350 * MIB
    assert 80 * MIB < ProcessTree(process.pid, pidfd, memory_limit_bytes=150 * MIB).sample().memory_bytes < 130 * MIB


async def test_memory_that_is_mapped_shared_counts(begin: Start) -> None:
    process, pidfd = await begin("""
    import mmap
    held = mmap.mmap(-1, 100 * 1024 * 1024)
    held.write(bytes(100 * 1024 * 1024))
    say('held')
    signal.pause()
    """)
    assert await answer(process) == "held"
    assert ProcessTree(process.pid, pidfd, memory_limit_bytes=MIB).sample().memory_bytes > 100 * MIB


async def test_children_of_any_thread_count(begin: Start) -> None:
    process, pidfd = await begin("""
    import subprocess, threading
    code = 'import time\\nwhile time.process_time() < 0.4: pass\\nprint("done", flush=True); time.sleep(100)'
    threading.Thread(target=lambda: subprocess.run([sys.executable, '-c', code])).start()
    signal.pause()
    """)
    tree = ProcessTree(process.pid, pidfd)
    assert await answer(process) == "done"
    assert 0.3 <= tree.sample().cpu_seconds < 1.5


async def test_other_processes_do_not_count(begin: Start) -> None:
    process, pidfd = await begin("say('ready')\nsignal.pause()")
    await begin("burn(100)")
    assert await answer(process) == "ready"
    await asyncio.sleep(0.2)
    assert ProcessTree(process.pid, pidfd).sample().cpu_seconds < 0.2


async def test_a_dead_box_keeps_what_was_seen_last(begin: Start) -> None:
    process, pidfd = await begin("burn(0.3); say('done'); signal.pause()")
    tree = ProcessTree(process.pid, pidfd)
    assert await answer(process) == "done"
    before = tree.sample()
    process.kill()
    await process.wait()
    assert tree.sample() == before
    assert before.cpu_seconds >= 0.25


async def test_a_number_that_went_to_another_is_not_trusted(begin: Start) -> None:
    dead, pidfd = await begin("say('ready')")
    await dead.wait()
    other, _ = await begin("burn(0.3); say('done'); signal.pause()")
    assert await answer(other) == "done"
    assert ProcessTree(other.pid, pidfd).sample() == Usage(0.0)


async def told(limits: UsageLimits, sample: Callable[[], Usage]) -> Limit:
    """What the watch says that the box has passed."""
    said: asyncio.Future[Limit] = asyncio.get_running_loop().create_future()
    watched = UsageWatch(INTERVAL_SECONDS).watch(sample, limits, said.set_result)
    try:
        return await asyncio.wait_for(said, 20)
    finally:
        watched.stop()


async def test_a_cpu_limit_is_kept_over_all_processes(begin: Start) -> None:
    process, pidfd = await begin("os.fork(); os.fork(); burn(100)")
    tree = ProcessTree(process.pid, pidfd)
    assert await told(UsageLimits(cpu_seconds=0.5, memory_bytes=1024 * MIB), tree.sample) is Limit.CPU_SECONDS
    assert tree.sample().cpu_seconds < 1.5


async def test_a_memory_limit_is_kept_over_all_processes(begin: Start) -> None:
    process, pidfd = await begin("os.fork(); os.fork(); held = bytearray(30 * 1024 * 1024); signal.pause()")
    tree = ProcessTree(process.pid, pidfd, memory_limit_bytes=100 * MIB)
    assert await told(UsageLimits(cpu_seconds=10, memory_bytes=100 * MIB), tree.sample) is Limit.MEMORY_BYTES


async def test_a_passed_limit_is_told_once() -> None:
    said: list[Limit] = []
    watch = UsageWatch(INTERVAL_SECONDS)
    watch.watch(lambda: Usage(2.0), UsageLimits(cpu_seconds=1.0), said.append)
    await asyncio.sleep(INTERVAL_SECONDS * 10)
    assert said == [Limit.CPU_SECONDS]


async def test_nothing_runs_while_no_box_is_watched() -> None:
    asked: list[float] = []

    def sample() -> Usage:
        asked.append(time.monotonic())
        return Usage(0.0)

    watch = UsageWatch(INTERVAL_SECONDS)
    watched = [watch.watch(sample, UsageLimits(cpu_seconds=1.0), print) for _ in range(2)]
    await asyncio.sleep(INTERVAL_SECONDS * 10)
    assert len(asked) >= 4
    for one in watched:
        one.stop()
    asked.clear()
    await asyncio.sleep(INTERVAL_SECONDS * 5)
    assert asked == []
    assert watch._timer is None


async def test_one_box_that_cannot_be_read_takes_no_limit_from_another() -> None:
    said: list[Limit] = []
    asked: list[int] = []

    def fails() -> Usage:
        asked.append(1)
        raise OSError(24, "Too many open files")

    watch = UsageWatch(INTERVAL_SECONDS)
    failing = watch.watch(fails, UsageLimits(cpu_seconds=1.0), said.append)
    watch.watch(lambda: Usage(2.0), UsageLimits(cpu_seconds=1.0), said.append)
    await asyncio.sleep(INTERVAL_SECONDS * 10)
    failing.stop()
    assert said == [Limit.CPU_SECONDS]
    assert len(asked) > 1
