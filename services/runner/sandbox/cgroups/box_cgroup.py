"""The group of one box, for as long as the box lives.

Promises: every process below the one that joined counts, whatever it forks; limits stand as soon as `limit` returns;
no box feels or sees what one before it used, nor is it told of that one's lack of memory.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack

from services.runner.sandbox.cgroups.group import BoxUsage, Group


class BoxCgroup:
    """Takes the place of a group that is like new, and gives it back once, however often it is removed.

    `entries` are descriptors into each of which the box's own process, while it is its only thread, writes "0" before
    it does anything else. Who opened them needs the permission, not who writes; and only a process that moves itself
    keeps nobody else waiting for the kernel.
    """

    def __init__(self, group: Group, give_back: Callable[[Group], None]) -> None:
        self._group = group
        self._give_back: Callable[[Group], None] | None = give_back
        self._before = group.usage()
        self._ooms_told = 0
        self.entries = _opened(group.entries)

    def joined(self) -> None:
        """Close the entries: the box is in."""
        for entry in self.entries:
            os.close(entry)
        self.entries = ()

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Limit memory, swap included, and processes and threads together; OSError where memory in use exceeds it."""
        self._group.limit(memory_bytes, processes)

    def on_oom(self, kill: Callable[[], None]) -> None:
        """Call `kill` in the event loop once the kernel is out of memory here and does not end all of the box itself.

        It may be called more than once, and never after `remove`.
        """

        def told() -> None:
            # The kernel tells before it chooses whom to kill, and chooses nobody where `kill` was faster.
            self._ooms_told = 1
            kill()

        self._group.on_oom(told)

    def cpu_seconds(self) -> float:
        """CPU time of all processes so far, ended ones included; 0 where it is not counted."""
        return self._group.cpu_seconds() - self._before.cpu_seconds

    def usage(self) -> BoxUsage:
        """What the box has used so far; true to the end when asked after its last process died."""
        now = self._group.usage()
        return BoxUsage(
            now.cpu_seconds - self._before.cpu_seconds,
            now.peak_memory_bytes,
            max(self._ooms_told, now.oom_kills - self._before.oom_kills),
        )

    def kill(self) -> None:
        """Kill every process in the group; they may be dying still when it returns."""
        self._group.kill()

    def remove(self) -> None:
        """Give the group back, after its processes died; never fails, and may be called again."""
        self.joined()
        if self._give_back:
            self._group.on_oom(None)
            self._give_back(self._group)
            self._give_back = None


def _opened(paths: tuple[str, ...]) -> tuple[int, ...]:
    entries = []
    with ExitStack() as undo:
        for path in paths:
            entries.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            undo.callback(os.close, entries[-1])
        undo.pop_all()
    return tuple(entries)
