"""A box as the runner holds it: what is said of it, whether it lives, and the power to kill it.

Promises: `dead` completes only when every process of the box is gone, and some time after `kill` it does, for a zygote
that does not say so is killed; a box is killed through a descriptor of its first process, which can never come to mean
another one.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from services.runner.sandbox.inside.wire import PACKET_BYTES

SIGNAL_CODE = 128
#: How long a zygote may take to tell that a box which was killed is dead.
DEAD_SECONDS = 10.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """How a job's process ended (negative: by that signal), or the problem that kept it from starting."""

    code: int | None
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    problem: str = ""


class LivingBox:
    """One box, from the moment its zygote has made it; `channel` and `pidfd` are closed by `close`."""

    def __init__(self, channel: socket.socket, pidfd: int, main_pid: int, kill_zygote: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.channel = channel
        self.pidfd = pidfd
        #: The number of the process that runs its job.
        self.main_pid = main_pid
        #: What was done to make it.
        self.steps = ""
        #: Empty when its walls stand, else why they do not.
        self.ready: asyncio.Future[str] = self._loop.create_future()
        #: None if it died before its job did.
        self.report: asyncio.Future[Report | None] = self._loop.create_future()
        self.dead: asyncio.Future[None] = self._loop.create_future()
        self.killed = False
        self._kill_zygote = kill_zygote
        self._overdue: asyncio.TimerHandle | None = None
        channel.setblocking(False)  # noqa: FBT003 - no keyword there
        self._loop.add_reader(channel, self._hear)

    def kill(self) -> None:
        """Kill every process of the box."""
        if self.dead.done():
            return
        self.killed = True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if self._overdue is None:
            self._overdue = self._loop.call_later(DEAD_SECONDS, self._kill_zygote)

    def abandon(self) -> None:
        """Kill it, and let go of it once it is dead: for who cannot wait."""
        self.kill()
        self.dead.add_done_callback(lambda _: self.close())

    def exited(self, report: Report) -> None:
        """Its job's process ended; what it left running may live for a moment yet."""
        self._hear()
        _settle(self.report, report)

    def died(self) -> None:
        """All its processes are gone."""
        self._hear()
        _settle(self.ready, "its process died")
        _settle(self.report, None)
        if self._overdue:
            self._overdue.cancel()
        _settle(self.dead, None)

    async def orphaned(self) -> None:
        """Its zygote died, and the kernel kills it: wait until it has."""
        gone = asyncio.Event()
        self._loop.add_reader(self.pidfd, gone.set)
        self.kill()
        await gone.wait()
        self._loop.remove_reader(self.pidfd)
        self.died()

    def close(self) -> None:
        """Let go of it, once it is dead."""
        self._loop.remove_reader(self.channel)
        self.channel.close()
        os.close(self.pidfd)

    def _hear(self) -> None:
        try:
            while packet := self.channel.recv(PACKET_BYTES):
                self._take(packet.decode(errors="replace"))
        except BlockingIOError:
            return
        except ConnectionResetError:
            pass
        self._loop.remove_reader(self.channel)

    def _take(self, words: str) -> None:
        kind, _, rest = words.partition(" ")
        match kind:
            case "ready":
                self.steps = rest
                _settle(self.ready, "")
            case "failed":
                _settle(self.ready, rest)
            case "problem":
                _settle(self.report, Report(None, problem=rest))


def shell_code(code: int) -> int:
    """A negative number is the signal that ended a process: told as a shell does."""
    return code if code >= 0 else SIGNAL_CODE - code


def _settle(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)
