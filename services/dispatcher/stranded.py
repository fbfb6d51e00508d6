"""When work is stranded: the store says that it is under way, and no queue and no runner holds it. Pure.

A queue hands out its messages of one priority in the order in which they came. So a chunk has left its queue, and
was not merely waiting, when the queue was seen empty after it was let in, or when one that came long after has begun.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskandgo.store.records import InFlight, OpenTask
from taskandgo.words import ChunkState, Priority

Line = tuple[str, Priority]


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of the queues at an instant.

    `waiting` counts the messages in the queues of pools, `submitted` those that say a task was accepted. `served`
    tells for each pool and priority when the youngest chunk that has begun was let in. What is younger than `grace`
    may be on its way.
    """

    at: datetime
    grace: timedelta
    submitted: int
    waiting: Mapping[str, int]
    served: Mapping[Line, datetime]

    def is_unopened(self, task: OpenTask) -> bool:
        """Whether nobody is going to open the task."""
        return not (task.chunks or task.awaited or self.submitted) and self._is_old(task.queued_at)

    def left_queue(self, task: OpenTask, chunk: InFlight) -> bool:
        """Whether the chunk's message is no longer in its queue."""
        if not self._is_old(chunk.ready_at) or task.pool not in self.waiting:
            return False
        served = self.served.get((task.pool, task.priority))
        overtaken = served is not None and served - chunk.ready_at > self.grace
        return not self.waiting[task.pool] or overtaken

    def was_taken(self, task: OpenTask, chunk: InFlight) -> bool:
        """Whether a runner took the attempt that was let in last, or its message is gone."""
        taken = chunk.started_at is not None and chunk.started_at >= chunk.ready_at
        return taken or self.left_queue(task, chunk)

    def _is_old(self, at: datetime) -> bool:
        # What lies in the future was written by a clock that went wrong.
        return abs(self.at - at) >= self.grace


def served(tasks: Sequence[OpenTask], at: datetime, before: Mapping[Line, datetime]) -> dict[Line, datetime]:
    """For each pool and priority, when the youngest chunk that has begun was let in, as far as is known by now."""
    # What has been overtaken stays so, unless a clock went wrong.
    found = {line: youngest for line, youngest in before.items() if youngest <= at}
    for task in tasks:
        for chunk in task.chunks:
            if chunk.state is ChunkState.RUNNING and not chunk.duplicate and chunk.ready_at <= at:
                line = task.pool, task.priority
                found[line] = max(found.get(line, chunk.ready_at), chunk.ready_at)
    return found
