"""The tasks whose chunks are emitted these days, with their input ready to be shared out.

Promises: bounded, whatever is submitted; a task is never changed once it is accepted. But one that finished may be
removed, and its id come again with other content, so that nothing is remembered for long.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass

from services.dispatcher.strategies.split import Cut, cut
from taskandgo.store.store import Store
from taskandgo.task import Items, Lines, TaskSpec

MOST_TASKS, MOST_BYTES = 1000, 64 * 1024 * 1024
#: Shorter than anybody lets ingest keep finished tasks.
REMEMBERED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RecentTask:
    """A task, and its input."""

    spec: TaskSpec
    input: Cut
    size: int
    read_at: float


class RecentTasks:
    """The tasks used last; the store has the others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: OrderedDict[str, RecentTask] = OrderedDict()
        self._bytes = 0

    async def get(self, task_id: str) -> RecentTask | None:
        """The task; None if the store does not know it either."""
        read_since = time.monotonic() - REMEMBERED_SECONDS
        if (found := self._tasks.get(task_id)) and found.read_at >= read_since:
            self._tasks.move_to_end(task_id)
            return found
        read_at = time.monotonic()
        spec = await self._store.load_spec(task_id)
        return self._add(spec, read_at) if spec else None

    def _add(self, spec: TaskSpec, read_at: float) -> RecentTask:
        self._forget(spec.task_id)
        task = self._tasks[spec.task_id] = RecentTask(spec, cut(spec), _size(spec), read_at)
        self._bytes += task.size
        while len(self._tasks) > MOST_TASKS or (self._bytes > MOST_BYTES and len(self._tasks) > 1):
            self._forget(next(iter(self._tasks)))
        return task

    def _forget(self, task_id: str) -> None:
        if old := self._tasks.pop(task_id, None):
            self._bytes -= old.size


def _size(spec: TaskSpec) -> int:
    """Nearly what it takes in memory; a string has some 50 bytes of its own."""
    own = len(spec.code) + len(spec.stdin)
    match spec.split.by if spec.split else None:
        case Lines(text=text):
            return own + 2 * len(text)
        case Items(json=items):
            return own + sum(len(item) + 50 for item in items)
    return own
