"""The tasks whose chunks are emitted these days, with their input ready to be shared out.

Promises: bounded, whatever is submitted; a task is never changed once it is accepted, so nothing here is stale.
"""

from collections import OrderedDict
from dataclasses import dataclass

from services.dispatcher.strategies.split import Cut, cut
from taskandgo.store.store import Store
from taskandgo.task import Items, Lines, TaskSpec

MOST_TASKS, MOST_BYTES = 1000, 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecentTask:
    """A task, and its input."""

    spec: TaskSpec
    input: Cut
    size: int


class RecentTasks:
    """The tasks used last; the store has the others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: OrderedDict[str, RecentTask] = OrderedDict()
        self._bytes = 0

    async def get(self, task_id: str) -> RecentTask | None:
        """The task; None if the store does not know it either."""
        if found := self._tasks.get(task_id):
            self._tasks.move_to_end(task_id)
            return found
        spec = await self._store.load_spec(task_id)
        return self.add(spec) if spec else None

    def add(self, spec: TaskSpec) -> RecentTask:
        """Remember a task, and forget those that were not used for longest."""
        self._forget(spec.task_id)
        task = self._tasks[spec.task_id] = RecentTask(spec, cut(spec), _size(spec))
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
