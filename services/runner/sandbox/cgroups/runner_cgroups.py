"""The cgroups of one runner: each box has one, and most were another box's before.

Promises: a group that somebody is still in is given to nobody else; of those that no box has, only so many are kept,
and files of theirs open, however many boxes there were at once; no group outlives its runner for longer than until
another runner starts in the same place.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from services.runner.sandbox.cgroups.box_cgroup import BoxCgroup
from services.runner.sandbox.cgroups.emptying import removed
from services.runner.sandbox.cgroups.group import Group
from services.runner.sandbox.cgroups.runner_directory import RunnerDirectory


@dataclass(frozen=True, slots=True)
class NoCgroups:
    """Why boxes get no cgroup on this machine."""

    reason: str


class Cgroups:
    """Makes a runner's groups in the directories given, by hierarchy or what that is for; `close` closes these too.

    `open_group` is told where a new group's directories are, and opens its files. Up to `spare` groups wait for a box.
    """

    def __init__(
        self,
        version: int,
        controllers: frozenset[str],
        directories: Mapping[str, RunnerDirectory],
        open_group: Callable[[dict[str, str]], Group],
        *,
        spare: int,
    ) -> None:
        #: 1 or 2.
        self.version = version
        #: What is there of `memory` (always), `pids` (the limit of processes) and `cpu` (CPU time is counted).
        self.controllers = controllers
        self.directories = directories
        self._open_group = open_group
        self._spare = spare
        self._groups: set[Group] = set()
        self._free: list[Group] = []
        self._left: set[str] = set()

    def make(self) -> BoxCgroup:
        """A group without limits; OSError if there is none to be had."""
        group = self._take()
        try:
            return BoxCgroup(group, self._give_back)
        except OSError:
            self._give_back(group)
            raise

    def close(self) -> None:
        """Kill what is left in any group of this runner, and remove its groups."""
        for group in self._groups:
            group.close()
        with ExitStack() as closing:
            for directory in dict.fromkeys(self.directories.values()):
                closing.callback(directory.close)

    def _take(self) -> Group:
        while self._free:
            group = self._free.pop()
            if group.renew():
                return group
            self._drop(group)
        return self._new()

    def _give_back(self, group: Group) -> None:
        if len(self._free) < self._spare:
            self._free.append(group)
        else:
            self._drop(group)

    def _new(self) -> Group:
        self._left = {path for path in self._left if not removed(path)}
        name = f"box-{time.monotonic_ns()}"  # never that of a group which the last runner of our name left
        paths = {key: f"{directory.path}/{name}" for key, directory in self.directories.items()}
        try:
            for path in set(paths.values()):
                Path(path).mkdir()
            group = self._open_group(paths)
        except OSError:
            self._left |= set(paths.values())
            raise
        self._groups.add(group)
        return group

    def _drop(self, group: Group) -> None:
        group.close()
        self._groups.discard(group)
        self._left |= {path for path in group.directories if not removed(path)}
