"""A bubblewrap process, followed in the event loop without threads: started, killed, waited for, accounted.

Promises: `ended` completes only when every process in its namespace is gone and reaped.
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
from dataclasses import dataclass

import msgspec

from services.runner.sandbox.output import OutputReader

PR_SET_CHILD_SUBREAPER = 36
STATUS_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """`exit_code` is the job's own, None when it never started or never ended by itself."""

    exit_code: int | None
    cpu_seconds: float
    peak_memory_bytes: int


class _Status(msgspec.Struct, rename="kebab"):
    child_pid: int | None = None
    exit_code: int | None = None


def adopt_orphans() -> None:
    """Have the first process of a namespace handed to us when bubblewrap goes, so that we can reap and account it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class BoxProcess:
    """bubblewrap and everything in it."""

    def __init__(self, argv: list[str], status_fd: int, pipes: tuple[int, int, int], pass_fds: tuple[int, ...]) -> None:
        stdin, stdout, stderr = pipes
        self._process = subprocess.Popen(  # noqa: S603 - argv is ours
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            env={},
            start_new_session=True,
        )
        self._status = OutputReader(status_fd, STATUS_BYTES, lambda _offset, _data: None, lambda _count: None)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self._process.pid, resource.RLIMIT_CORE, (0, 0))
        self.ended = asyncio.create_task(self._end())

    def kill(self) -> None:
        """Kill bubblewrap; the kernel kills the namespace with it."""
        if self._process.returncode is None:
            # The group too: a child that bubblewrap has just forked may not be tied to its life yet.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _end(self) -> ProcessEnd:
        await _dead(self._process.pid)
        self._process.wait()
        await self._status.ended
        status = _parse(self._status.captured.data)
        used = await _reap(status.child_pid) if status.child_pid else None
        if used is None:
            return ProcessEnd(status.exit_code, 0.0, 0)
        return ProcessEnd(status.exit_code, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


async def _dead(pid: int) -> None:
    loop = asyncio.get_running_loop()
    fd = os.pidfd_open(pid)
    dead: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _settle, dead)
    try:
        await dead
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def _settle(dead: asyncio.Future[None]) -> None:
    if not dead.done():
        dead.set_result(None)


async def _reap(pid: int) -> resource.struct_rusage | None:
    try:
        # Neither call waits: the first only asks whether the process is our child, the second comes after its death.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # noqa: ASYNC222
        await _dead(pid)
        return os.wait4(pid, 0)[2]  # noqa: ASYNC222
    except (ChildProcessError, ProcessLookupError):
        return None  # bubblewrap reaped it itself: it never got as far as running the job


def _parse(lines: bytes) -> _Status:
    status = _Status()
    for line in lines.splitlines():
        said = msgspec.json.decode(line, type=_Status)
        status.child_pid = said.child_pid or status.child_pid
        status.exit_code = said.exit_code if said.exit_code is not None else status.exit_code
    return status
