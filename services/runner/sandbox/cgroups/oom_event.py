"""Hears that the kernel is out of memory in a group of cgroup v1, from which it would kill one process, and no other.

The kernel is asked once, and tells for as long as the group is used. Promises: nobody is told of what happened before
he asked to be, or after he asked no more.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress

from services.runner.sandbox.cgroups.files import OpenFile, write


class OomEvent:
    """What is told of one group; OSError if the kernel will not tell."""

    def __init__(self, control: OpenFile, register: str) -> None:
        self._kill: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with ExitStack() as undo:
            undo.callback(os.close, self._event)
            write(register, f"{self._event} {control.fileno()}")
            self._loop.add_reader(self._event, self._told)
            undo.pop_all()

    def call(self, kill: Callable[[], None] | None) -> None:
        """Call this from now on, or nobody."""
        if kill:
            self._heard()  # what was told of the box before, and not yet heard
        self._kill = kill

    def close(self) -> None:
        """Hear no more, before the group is removed: the kernel tells of that too."""
        self._loop.remove_reader(self._event)
        os.close(self._event)

    def _told(self) -> None:
        if self._heard() and self._kill:
            self._kill()

    def _heard(self) -> bool:
        with suppress(BlockingIOError):
            return os.eventfd_read(self._event) > 0
        return False
