"""The tasks that run, as their events tell; what no event told is found out by asking the store now and then.

Promises: a task whose end was not heard goes within seconds of the next look; one that is heard of all the time is
never asked for; bounded, however many tasks run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from itertools import takewhile
from operator import attrgetter

from taskandgo.clock import Clock
from taskandgo.messages import ChunkStarted
from taskandgo.store.records import TaskRecord
from taskandgo.store.store import Store
from taskandgo.task import Value

MOST_RUNNING = 10_000
#: After how long without news of a task the store is asked for it, and for how many at a time.
QUIET_SECONDS = 5.0
ASKED_AT_ONCE = 1000


class RunningTask(Value, frozen=True):
    """A task that runs, by its newest attempt; `runner` is "" when that began before this monitor listened."""

    task_id: str
    priority: str
    language: str
    started_at: datetime
    runner: str = ""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A task as it was when it was last heard of, at an instant in Unix seconds."""

    task: RunningTask
    at: float


class RunningTasks:
    """Remembers them, those not heard of for longest first."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._heard: dict[str, _Heard] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def newest(self, count: int) -> Sequence[RunningTask]:
        """Those that started last."""
        return nlargest(count, (one.task for one in self._heard.values()), key=attrgetter("started_at"))

    def started(self, message: ChunkStarted) -> None:
        """An attempt at one of its chunks began."""
        before = self._heard.get(message.task_id)
        self._put(
            RunningTask(
                task_id=message.task_id,
                priority=message.priority.word,
                language=message.language,
                started_at=before.task.started_at if before else message.started_at,
                runner=message.runner,
            )
        )

    def finished(self, task_id: str) -> None:
        """It reached its final state."""
        self._heard.pop(task_id, None)

    def clear(self) -> None:
        """Nobody listens any more."""
        self._heard.clear()

    async def catch_up(self) -> None:
        """Learn what began while nobody listened; what ended meanwhile, the next `check` finds out."""
        self._heard = {task_id: _Heard(one.task, 0.0) for task_id, one in self._heard.items()}
        for record in await self._store.running_tasks():
            if record.task_id not in self._heard:
                self._put(_running(record))

    async def check(self) -> None:
        """Ask the store for those not heard of for a while, and forget those that have ended."""
        quiet_since = self._clock.now().timestamp() - QUIET_SECONDS
        quiet = list(takewhile(lambda one: one.at <= quiet_since, self._heard.values()))
        for start in range(0, len(quiet), ASKED_AT_ONCE):
            asked = quiet[start : start + ASKED_AT_ONCE]
            still_open = await self._store.still_open([one.task.task_id for one in asked])
            for one in asked:
                # What was heard of it meanwhile is newer than the answer.
                if self._heard.get(one.task.task_id) is one:
                    self._answered(one.task, is_open=one.task.task_id in still_open)

    def _answered(self, task: RunningTask, *, is_open: bool) -> None:
        if is_open:
            self._put(task)
        else:
            self.finished(task.task_id)

    def _put(self, task: RunningTask) -> None:
        if task.task_id not in self._heard and len(self._heard) >= MOST_RUNNING:
            return
        self._heard.pop(task.task_id, None)
        self._heard[task.task_id] = _Heard(task, self._clock.now().timestamp())


def _running(record: TaskRecord) -> RunningTask:
    return RunningTask(
        task_id=record.task_id,
        priority=record.priority.word,
        language=record.language,
        started_at=record.started_at or record.queued_at,
    )
