"""The groups of a runner's boxes: each a directory of one name in every hierarchy, used by one box after another."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services.runner.sandbox.cgroup_files import removed
from services.runner.sandbox.runner_directory import RunnerDirectory

#: What memory may be charged to an empty group that is used again.
REUSE_BYTES = 4 * 1024 * 1024


class RunnerGroups:
    """Makes and keeps the groups of one runner, below its `own` group in each hierarchy.

    `renew` makes a used group like new, known by its name, or says that it is not empty or of no more use.
    """

    def __init__(self, own: Sequence[str], runner: str, renew: Callable[[str], bool]) -> None:
        self._renew = renew
        self._used: list[str] = []
        self.directories: dict[str, str] = {}
        with ExitStack() as opened:
            for group in dict.fromkeys(own):
                directory = RunnerDirectory(group, runner)
                opened.callback(directory.close)
                self.directories[group] = directory.path
            self._opened = opened.pop_all()

    @contextmanager
    def taken(self) -> Iterator[str]:
        """The name of an empty group that is in each hierarchy; kept, unless the block fails."""
        name = self._take()
        try:
            yield name
        except OSError:
            self.give_back(name)
            raise

    def give_back(self, name: str) -> None:
        """Keep a group for another box; whether it can be is looked at off the hot path, when one is needed."""
        self._used.append(name)

    def close(self) -> None:
        """Kill what is left in any group, remove them all, and let go of the runner's name."""
        self._opened.close()

    def _take(self) -> str:
        used, self._used = self._used, []
        while used:
            name = used.pop()
            if self._renew(name):
                self._used += used
                return name
            if not self._removed(name):
                self._used.append(name)
        return self._make()

    def _make(self) -> str:
        name = f"box-{time.monotonic_ns()}"  # never that of a group which the last runner of our name left
        try:
            for directory in self.directories.values():
                Path(directory, name).mkdir()
        except OSError:
            self.give_back(name)
            raise
        return name

    def _removed(self, name: str) -> bool:
        left = [directory for directory in self.directories.values() if not removed(f"{directory}/{name}")]
        return not left
