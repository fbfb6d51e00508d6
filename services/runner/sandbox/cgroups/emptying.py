"""Emptying a cgroup: who is in it, killing them, removing it; the same in v1 and v2."""

import contextlib
import os
import select
import signal
import time
from pathlib import Path

SWEEP_SECONDS = 2.0
KILL_ROUNDS = 100


def members(group: str) -> list[int]:
    """The processes in the group."""
    return [int(pid) for pid in Path(group, "cgroup.procs").read_text().split()]


def kill_members(group: str) -> None:
    """Kill what is in the group and what it forks meanwhile, within reason."""
    killed: set[int] = set()
    for _ in range(KILL_ROUNDS):
        fresh = set(members(group)) - killed
        if not fresh:
            return
        pidfds = _pidfds(fresh)
        # Only now is it sure that a pidfd is that of a member: the number may have been another's when it was opened.
        still = set(members(group))
        for pid, pidfd in pidfds.items():
            if pid in still:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        killed |= fresh


def clear(group: str) -> bool:
    """Kill what is in the group and below it, and remove it; False if that takes too long."""
    with contextlib.suppress(OSError):
        for name in subgroups(group):
            clear(f"{group}/{name}")
        kill_members(group)
        _wait_empty(group)
    return removed(group)


def removed(group: str) -> bool:
    """Remove a group whose processes are dead; False if the kernel still holds it."""
    try:
        Path(group).rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def subgroups(group: str) -> list[str]:
    """The names of the groups in the group."""
    with os.scandir(group) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _pidfds(pids: set[int]) -> dict[int, int]:
    opened: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            opened[pid] = os.pidfd_open(pid)
    return opened


def _wait_empty(group: str) -> None:
    deadline = time.monotonic() + SWEEP_SECONDS
    for pidfd in _pidfds(set(members(group))).values():
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        os.close(pidfd)
