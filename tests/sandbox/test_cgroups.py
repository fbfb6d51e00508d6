"""What cgroups limit and count of real processes, on whatever this machine lets this process write."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from services.runner.sandbox.cgroups import find_cgroups as finding
from services.runner.sandbox.cgroups.box_cgroup import BoxCgroup
from services.runner.sandbox.cgroups.emptying import clear
from services.runner.sandbox.cgroups.find_cgroups import SPARE, find_cgroups
from services.runner.sandbox.cgroups.mounts import UNIFIED, own_groups
from services.runner.sandbox.cgroups.runner_cgroups import Cgroups, NoCgroups
from services.runner.sandbox.cgroups.v1 import cgroups_v1
from services.runner.sandbox.inside.namespaces import NOBODY, become, become_owner
from services.runner.sandbox.inside.privileges import hide_memory
from tests.sandbox.processes import answer, start, tell

MIB = 1024 * 1024
NAME = f"test-{os.getpid()}"
HOG = "held = bytearray(200 * 1024 * 1024); say('held'); sys.stdin.read()"
CRASH = """
import os, subprocess, signal, sys
from services.runner.sandbox.cgroups.find_cgroups import find_cgroups
cgroups = find_cgroups(sys.argv[1])
box = cgroups.make()
sleeps = "import os, sys, time; [os.write(int(entry), b'0') for entry in sys.argv[1:]]; print('in'); time.sleep(1000)"
child = subprocess.Popen(
    [sys.executable, "-uc", sleeps, *map(str, box.entries)],
    pass_fds=box.entries, stdout=subprocess.PIPE, start_new_session=True,
)
child.stdout.readline()
print(child.pid, *{directory.path for directory in cgroups.directories.values()}, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    """The cgroups of a runner; after the test none of them is left."""
    found = find_cgroups(NAME)
    if isinstance(found, NoCgroups):
        pytest.skip(f"no cgroup is writable here: {found.reason}")
    directories = folders(found)
    yield found
    found.close()
    assert [path for path in directories if path.exists()] == []


@pytest.fixture
async def box(cgroups: Cgroups) -> AsyncIterator[BoxCgroup]:
    """The group of a box; what a failed test left in it dies."""
    made = cgroups.make()
    yield made
    made.kill()
    made.remove()


def folders(cgroups: Cgroups) -> list[Path]:
    """The runner's directories."""
    return [Path(directory.path) for directory in dict.fromkeys(cgroups.directories.values())]


async def run(box: BoxCgroup, code: str) -> Process:
    """A process that runs the code in the group."""
    process = await start(code, box.entries)
    await tell(process)
    return process


async def sleeper(box: BoxCgroup) -> Process:
    """A process in the group that does nothing."""
    process = await run(box, "say('in'); signal.pause()")
    assert await answer(process) == "in"
    return process


def in_child(*acts: Callable[[], object]) -> int:
    """A process that does this and ends: 0, or the number of the error that it met."""
    pid = os.fork()
    if pid == 0:
        try:
            for act in acts:
                act()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
        finally:
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def join(box: BoxCgroup) -> None:
    """Be in the group."""
    for entry in box.entries:
        os.write(entry, b"0")


def become_nobody() -> None:
    """Be an ordinary user in a user namespace."""
    become(NOBODY)
    hide_memory(hidden=False)
    become_owner(os.open("/proc", os.O_PATH), 0)


def hold(mib: int) -> None:
    """Use memory."""
    bytearray(mib * MIB)


def burn() -> None:
    """Use CPU time."""
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass


def descriptors() -> list[Path]:
    """What this process has open."""
    return sorted(Path("/proc/self/fd").iterdir())


async def ended(process: Process) -> int:
    """Its return code."""
    return await asyncio.wait_for(process.wait(), 20)


@pytest.mark.parametrize("first", [os.getpid, become_nobody])
def test_whoever_holds_the_entries_may_join(cgroups: Cgroups, first: Callable[[], object]) -> None:
    if in_child(first):
        pytest.skip("this process may not make user namespaces")
    box = cgroups.make()
    box.limit(64 * MIB, 16)
    assert in_child(first, partial(join, box), partial(hold, 20), burn) == 0
    usage = box.usage()
    assert 20 * MIB < usage.peak_memory_bytes < 40 * MIB
    assert 0.1 <= usage.cpu_seconds < 1
    assert in_child(first, partial(join, box), partial(hold, 200)) == -signal.SIGKILL
    box.remove()


async def test_boxes_in_turn_leave_no_more_open_than_one(cgroups: Cgroups) -> None:
    before = descriptors()
    other = find_cgroups(f"{NAME}-other")
    assert not isinstance(other, NoCgroups)
    most = []
    for joins in (True, False, True):
        box = other.make()
        box.on_oom(box.kill)
        if joins:
            box.joined()
        box.remove()
        most.append(len(descriptors()))
    other.close()
    assert most[0] == most[1] == most[2]
    assert descriptors() == before


async def test_many_boxes_at_once_leave_no_more_than_the_spare_groups(cgroups: Cgroups) -> None:
    before = descriptors()
    other = find_cgroups(f"{NAME}-other", spare=3)
    assert not isinstance(other, NoCgroups)
    counts = []
    for many in (3, 20, 3):
        boxes = [other.make() for _ in range(many)]
        for box in boxes:
            box.on_oom(box.kill)
            box.joined()
        assert groups(other) == max(many, 3)
        for box in boxes:
            box.remove()
        assert groups(other) == 3
        counts.append(len(descriptors()))
    assert counts == counts[:1] * 3
    other.close()
    assert descriptors() == before


def groups(cgroups: Cgroups) -> int:
    """How many groups the runner has in each hierarchy."""
    (count,) = {len(list(folder.glob("box-*"))) for folder in folders(cgroups)}
    return count


async def test_a_memory_hog_is_killed_and_seen_as_such(box: BoxCgroup) -> None:
    box.limit(32 * MIB, 16)
    assert await ended(await run(box, HOG)) == -signal.SIGKILL
    usage = box.usage()
    assert usage.oom_kills == 1
    assert 24 * MIB < usage.peak_memory_bytes <= 32 * MIB


async def test_a_crash_is_not_taken_for_a_lack_of_memory(box: BoxCgroup) -> None:
    box.limit(64 * MIB, 16)
    assert await ended(await run(box, "os.kill(os.getpid(), 9)")) == -signal.SIGKILL
    assert box.usage().oom_kills == 0


async def test_all_of_a_box_ends_when_one_process_is_out_of_memory(cgroups: Cgroups) -> None:
    for _ in range(3):
        box = cgroups.make()
        box.limit(32 * MIB, 16)
        box.on_oom(box.kill)
        process = await run(box, f"if os.fork(): signal.pause()\nelse: {HOG}")
        assert await ended(process) == -signal.SIGKILL
        assert box.usage().oom_kills >= 1
        box.remove()


async def test_no_box_is_told_of_the_memory_of_one_before_it(cgroups: Cgroups) -> None:
    told: list[int] = []
    for number in range(2):
        box = cgroups.make()
        box.limit(32 * MIB, 16)
        box.on_oom(partial(told.append, number))
        hog = partial(hold, 200 if number == 0 else 1)
        assert in_child(partial(join, box), hog) == (-signal.SIGKILL if number == 0 else 0)
        assert (box.usage().oom_kills > 0) == (number == 0)
        if number == 0:
            box.remove()
    await asyncio.sleep(0.05)
    assert told == []
    box.remove()
    assert [len(list(folder.glob("box-*"))) for folder in folders(cgroups)] == [1] * len(folders(cgroups))


async def test_nobody_is_told_of_memory_after_the_group_is_given_back(cgroups: Cgroups) -> None:
    told: list[str] = []
    for _ in range(3):
        box = cgroups.make()
        box.on_oom(lambda: told.append("out of memory"))
        box.remove()
    await asyncio.sleep(0.05)  # the kernel signals the event of a removed group from a work queue
    assert told == []


async def test_a_fork_bomb_stops_at_the_limit(cgroups: Cgroups, box: BoxCgroup) -> None:
    if "pids" not in cgroups.controllers:
        pytest.skip("no pids controller here")
    box.limit(128 * MIB, 8)
    bomb = """
    pids = []
    try:
        while pid := os.fork(): pids.append(pid)
        time.sleep(1000)
    except BlockingIOError:
        say(len(pids))
        for pid in pids: os.kill(pid, 9)
    """
    process = await run(box, bomb)
    assert await answer(process) == "7"
    assert await ended(process) == 0


async def test_the_cpu_time_of_orphans_counts(box: BoxCgroup) -> None:
    box.limit(128 * MIB, 16)
    orphan = "if os.fork() == 0:\n    if os.fork(): os._exit(0)\n    os.setsid(); burn(0.3); say('done')\n"
    process = await run(box, orphan + "else: os.wait(); signal.pause()")
    assert await answer(process) == "done"
    assert 0.3 <= box.usage().cpu_seconds < 1.5
    assert box.cpu_seconds() >= 0.3
    box.kill()
    assert await ended(process) == -signal.SIGKILL


async def test_kill_reaches_whoever_is_in_the_group(box: BoxCgroup) -> None:
    box.limit(256 * MIB, 64)
    daemons = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(1)
    say(os.getpid())
    signal.pause()
    """
    process = await run(box, daemons)
    await answer(process)
    box.kill()
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.read(), 10) == b""  # the last of them let go of the pipe
    assert await ended(process) == -signal.SIGKILL


async def test_limits_may_go_down_and_up_again(box: BoxCgroup) -> None:
    for memory_bytes in (64 * MIB, 32 * MIB, 512 * MIB):
        box.limit(memory_bytes, 16)
    process = await run(box, HOG)
    assert await answer(process) == "held"
    assert box.usage().peak_memory_bytes > 200 * MIB


async def test_the_same_limits_hold_for_the_next_box(cgroups: Cgroups) -> None:
    for _ in range(3):
        box = cgroups.make()
        box.limit(32 * MIB, 16)
        box.limit(32 * MIB, 16)
        assert in_child(partial(join, box), partial(hold, 200)) == -signal.SIGKILL
        box.remove()


async def test_a_group_is_like_new_for_the_next_box(cgroups: Cgroups) -> None:
    first = cgroups.make()
    first.limit(16 * MIB, 1)
    assert await ended(await run(first, HOG)) == -signal.SIGKILL
    first.remove()
    second = cgroups.make()
    usage = second.usage()
    assert (usage.cpu_seconds, usage.oom_kills) == (0, 0)
    assert usage.peak_memory_bytes < MIB
    process = await run(second, f"os.wait() if os.fork() else None\n{HOG}")
    assert await answer(process) == "held"
    second.kill()
    await ended(process)
    second.remove()


async def test_a_group_given_back_twice_is_given_to_one_box_only(cgroups: Cgroups) -> None:
    box = cgroups.make()
    box.remove()
    box.remove()
    process = await run(cgroups.make(), "burn(0.2)")
    assert await ended(process) == 0
    assert cgroups.make().usage().cpu_seconds < 0.1


async def test_no_box_pays_for_what_another_left(cgroups: Cgroups) -> None:
    left = Path(f"/dev/shm/{NAME}")
    try:
        first = cgroups.make()
        assert await ended(await run(first, f"open('{left}', 'wb').write(bytes(20 * 1024 * 1024))")) == 0
        first.remove()
        second = cgroups.make()
        second.limit(16 * MIB, 16)
        assert second.usage().peak_memory_bytes < MIB
        assert await ended(await run(second, "bytearray(1024 * 1024)")) == 0
    finally:
        left.unlink()


async def test_a_group_with_somebody_in_it_is_not_given_to_another_box(cgroups: Cgroups) -> None:
    first = cgroups.make()
    process = await sleeper(first)
    first.remove()
    others = [cgroups.make() for _ in range(3)]
    for other in others:
        other.kill()
        other.remove()
    process.terminate()
    assert await ended(process) == -signal.SIGTERM


def test_boxes_that_read_something_new_leave_no_dying_groups(cgroups: Cgroups, tmp_path: Path) -> None:
    before = memory_groups()
    for number in range(200):
        box = cgroups.make()
        assert in_child(partial(join, box), (tmp_path / str(number)).touch) == 0
        box.remove()
    assert memory_groups() - before < 100  # others on this machine make some too


def memory_groups() -> int:
    """How many groups of the memory controller the kernel holds, dying ones included."""
    for line in Path("/proc/cgroups").read_text().splitlines():
        name, _, groups, _ = line.split()
        if name == "memory":
            return int(groups)
    pytest.skip("the kernel does not count the memory controller's groups")


@pytest.mark.parametrize("successor", [f"{NAME}-crashed", f"{NAME}-other"])
async def test_what_a_crashed_runner_left_is_swept(cgroups: Cgroups, successor: str) -> None:
    crashed = await asyncio.create_subprocess_exec(sys.executable, "-c", CRASH, f"{NAME}-crashed", stdout=-1)
    pid, *left = (await answer(crashed)).split()
    assert await ended(crashed) == -signal.SIGKILL
    found = find_cgroups(successor)
    assert not isinstance(found, NoCgroups)
    boxes = [path for folder in left for path in Path(folder).glob("box-*")]
    assert boxes == []
    assert state(int(pid)) in {"", "Z"}
    found.close()
    assert [folder for folder in left if Path(folder).exists()] == []


def state(pid: int) -> str:
    """What /proc says of a process; nothing if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


async def test_a_living_runners_groups_are_left_alone(cgroups: Cgroups, box: BoxCgroup) -> None:
    process = await sleeper(box)
    other = find_cgroups(f"{NAME}-other")
    assert not isinstance(other, NoCgroups)
    other.close()
    process.terminate()
    assert await ended(process) == -signal.SIGTERM


@pytest.fixture
def elsewhere(cgroups: Cgroups) -> Iterator[Cgroups]:
    """A runner whose own group is another one, but not in every hierarchy."""
    own = own_groups()
    if cgroups.version != 1 or "pids" not in cgroups.controllers:
        pytest.skip("this machine has one hierarchy only")
    group = Path(own["memory"], f"{NAME}-elsewhere")
    group.mkdir()
    runner = cgroups_v1({"memory": str(group), "pids": own["pids"]}, f"{NAME}-other", SPARE)
    yield runner
    runner.close()
    assert clear(str(group))


async def test_a_runner_that_shares_only_one_hierarchy_is_left_alone(elsewhere: Cgroups) -> None:
    box = elsewhere.make()
    process = await sleeper(box)
    starting = find_cgroups(f"{NAME}-starting")
    assert not isinstance(starting, NoCgroups)
    starting.close()
    process.terminate()
    assert await ended(process) == -signal.SIGTERM
    box.limit(64 * MIB, 16)


def test_two_living_runners_of_one_name_do_not_share_groups(cgroups: Cgroups) -> None:
    second = find_cgroups(NAME)
    assert isinstance(second, NoCgroups)
    assert "another runner" in second.reason


@pytest.mark.parametrize("name", ["../../escape", "memory.limit_in_bytes", "a/b", "ä" * 128, "."])
def test_any_name_of_a_runner_stays_in_its_place(cgroups: Cgroups, name: str) -> None:
    found = find_cgroups(name)
    assert not isinstance(found, NoCgroups)
    assert [path.parent for path in folders(found)] == [path.parent for path in folders(cgroups)]
    found.close()


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, "can limit memory"),
        ({UNIFIED: "/proc/self/fdinfo/none"}, "No such file"),
        ({"memory": "/proc/1/none"}, "read-only"),
    ],
)
def test_a_machine_without_cgroups_says_why(monkeypatch: pytest.MonkeyPatch, own: dict[str, str], said: str) -> None:
    monkeypatch.setattr(finding, "own_groups", lambda: own)
    found = find_cgroups(NAME)
    assert isinstance(found, NoCgroups)
    assert said in found.reason
