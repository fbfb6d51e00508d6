"""Which ends of tasks were counted lately: a dispatcher that takes over from a dead one announces an end again."""

from collections import OrderedDict
from datetime import datetime

REMEMBERED = 10_000


class CountedTasks:
    """Remembers the last ends; a task that was retried has another one."""

    def __init__(self) -> None:
        self._ends: OrderedDict[tuple[str, datetime], None] = OrderedDict()

    def is_new(self, task_id: str, finished_at: datetime) -> bool:
        """Whether this end has not been asked for before."""
        end = (task_id, finished_at)
        if end in self._ends:
            return False
        self._ends[end] = None
        if len(self._ends) > REMEMBERED:
            self._ends.popitem(last=False)
        return True
