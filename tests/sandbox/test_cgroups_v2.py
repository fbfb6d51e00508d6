"""Cgroup v2 on a real hierarchy, as far as its controllers are free here; the rest of it on plain files.

Where the memory controller belongs to v1, a v2 hierarchy still counts CPU time, kills, and forbids what it forbids.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runner.sandbox.cgroups.box_cgroup import BoxCgroup
from services.runner.sandbox.cgroups.delegation import LEAF
from services.runner.sandbox.cgroups.emptying import clear, members
from services.runner.sandbox.cgroups.find_cgroups import SPARE
from services.runner.sandbox.cgroups.group import BoxUsage
from services.runner.sandbox.cgroups.mounts import UNIFIED, own_groups, parse_own_groups
from services.runner.sandbox.cgroups.runner_cgroups import Cgroups
from services.runner.sandbox.cgroups.v2 import GroupV2, cgroups_v2
from tests.sandbox.processes import answer, start, tell

MIB = 1024 * 1024


@pytest.fixture
def own() -> Iterator[str]:
    """A real group in the place of the runner's own."""
    unified = own_groups().get(UNIFIED)
    if unified is None or not os.access(unified, os.W_OK):
        pytest.skip("no cgroup v2 hierarchy is mounted here that this process may write to")
    group = Path(unified, f"test-{os.getpid()}")
    group.mkdir()
    yield str(group)
    assert clear(str(group))


@pytest.fixture
def cgroups(own: str) -> Iterator[Cgroups]:
    """The cgroups of a runner; after the test none of them is left."""
    found = cgroups_v2(own, "runner", SPARE)
    yield found
    found.close()
    assert not Path(own, "taskandgo").exists()


async def test_orphans_are_counted_and_killed(cgroups: Cgroups) -> None:
    box = cgroups.make()
    process = await start("if os.fork() == 0: os.setsid(); burn(0.3); say('done')\nsignal.pause()", box.entries)
    await tell(process)
    assert await answer(process) == "done"
    assert 0.3 <= box.usage().cpu_seconds < 1.5
    box.kill()
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.read(), 10) == b""
    assert await process.wait() == -signal.SIGKILL
    box.remove()
    assert cgroups.make().usage().cpu_seconds < 0.1


async def test_a_group_whose_peak_cannot_be_reset_is_removed(cgroups: Cgroups, own: str) -> None:
    for _ in range(5):
        cgroups.make().remove()
    cgroups.make()
    assert len(list(Path(own).glob("taskandgo/*/box-*"))) == 1


async def test_who_is_in_the_runners_own_group_moves_into_a_leaf(own: str) -> None:
    process = await start("signal.pause()")
    Path(own, "cgroup.procs").write_text(str(process.pid))
    os.setxattr(own, "trusted.delegate", b"1")
    cgroups_v2(own, "runner", SPARE).close()
    assert members(own) == []
    assert members(f"{own}/{LEAF}") == [process.pid]
    # A runner that is started from the leaf finds the same place.
    cgroups_v2(f"{own}/{LEAF}", "runner", SPARE).close()
    process.kill()
    await process.wait()


async def test_a_group_that_is_not_the_runners_to_arrange_is_left_alone(own: str) -> None:
    process = await start("signal.pause()")
    Path(own, "cgroup.procs").write_text(str(process.pid))
    with pytest.raises(PermissionError, match="not delegated"):
        cgroups_v2(own, "runner", SPARE)
    assert members(own) == [process.pid]
    process.kill()
    await process.wait()


def like_v2(group: Path, **files: str) -> Path:
    """A folder of plain files with the names and the content of a group's."""
    content = {
        "cgroup.procs": "",
        "cgroup.events": "populated 0\n",
        "cpu.stat": "usage_usec 0\n",
        "memory.current": "1048576\n",
    }
    content |= {"memory.max": "max\n", "memory.swap.max": "max\n", "pids.max": "max\n", "memory.oom.group": "0\n"}
    content |= {"memory.events": "low 0\noom 0\noom_kill 0\noom_group_kill 0\n"} | files
    for name, text in content.items():
        (group / name).write_text(text)
    return group


def box_of(group: GroupV2) -> BoxCgroup:
    """A box that has the group."""
    return BoxCgroup(group, lambda _: None)


def group_of(folder: Path) -> GroupV2:
    """The group of a folder like that."""
    return GroupV2({UNIFIED: str(folder)})


def test_limits_are_written_to_every_knob(tmp_path: Path) -> None:
    group = group_of(like_v2(tmp_path))
    group.limit(256 * MIB, 64)
    assert (tmp_path / "memory.max").read_text() == "268435456"
    assert (tmp_path / "memory.swap.max").read_text().startswith("0")
    assert (tmp_path / "pids.max").read_text().startswith("64")
    assert (tmp_path / "memory.oom.group").read_text().startswith("1")


def test_usage_is_what_came_since_the_group_was_taken(tmp_path: Path) -> None:
    folder = like_v2(
        tmp_path,
        **{"memory.peak": "9000000\n", "cpu.stat": "usage_usec 500000\nuser_usec 0\n", "memory.events": "oom_kill 3\n"},
    )
    group = group_of(folder)
    assert group.renew()
    assert (tmp_path / "memory.peak").read_text().startswith("reset")
    (tmp_path / "memory.peak").write_text("1048576\n")  # which the kernel does by itself
    box = box_of(group)
    (tmp_path / "memory.peak").write_text("33554432\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 2000000\nuser_usec 1\n")
    (tmp_path / "memory.events").write_text("low 0\noom_kill 4\n")
    assert box.usage() == BoxUsage(cpu_seconds=1.5, peak_memory_bytes=31 * MIB, oom_kills=1)
    box.remove()


def test_a_peak_that_cannot_be_reset_is_read_and_its_group_not_used_again(tmp_path: Path) -> None:
    folder = like_v2(tmp_path)
    (folder / "memory.peak").symlink_to("/proc/sys/fs/nr_open")  # any number in a file that refuses words
    group = group_of(folder)
    assert group.usage().peak_memory_bytes == int(Path("/proc/sys/fs/nr_open").read_text())
    assert not group.renew()


def test_without_a_peak_the_memory_in_use_is_looked_at(tmp_path: Path) -> None:
    box = box_of(group_of(like_v2(tmp_path)))
    (tmp_path / "memory.current").write_text(f"{50 * MIB}\n")
    box.cpu_seconds()
    (tmp_path / "memory.current").write_text(f"{2 * MIB}\n")
    assert box.usage().peak_memory_bytes == 50 * MIB


SYSTEMD = "24 22 0:21 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
DOCKER_V1 = (
    "600 590 0:31 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:16 - cgroup cgroup rw,memory\n"
    "601 590 0:32 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro shared:7 - cgroup cgroup rw,cpu,cpuacct\n"
)
HYBRID = (
    "32 31 0:29 / /cg\\040roups/memory rw - cgroup cgroup rw,memory\n"
    "33 31 0:30 / /cg\\040roups/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "41 31 0:38 / /cg\\040roups/unified rw - cgroup2 cgroup2 rw\n"
)


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "found"),
    [
        ("0::/a.slice/b.scope\n", SYSTEMD, {"unified": "/sys/fs/cgroup/a.slice/b.scope"}),
        ("0::/\n", SYSTEMD, {"unified": "/sys/fs/cgroup"}),
        ("0::/../other\n", SYSTEMD, {}),
        ("0::/other\n", SYSTEMD.replace(" / ", " /mine ", 1), {}),
        (
            "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc/deep\n",
            DOCKER_V1,
            {
                "memory": "/sys/fs/cgroup/memory",
                "cpu": "/sys/fs/cgroup/cpu,cpuacct/deep",
                "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/deep",
            },
        ),
        ("4:memory:/docker/abcd\n", DOCKER_V1, {}),
        (
            "4:memory:/run:1\n3:name=systemd:/\n0::/\n",
            HYBRID,
            {"memory": "/cg roups/memory/run:1", "name=systemd": "/cg roups/systemd", "unified": "/cg roups/unified"},
        ),
        ("4:memory:/a\n", "22 1 8:1 / / rw - ext4 /dev/vda rw\n", {}),
    ],
)
def test_the_own_groups_are_found(cgroup: str, mountinfo: str, found: dict[str, str]) -> None:
    assert parse_own_groups(cgroup, mountinfo) == found
