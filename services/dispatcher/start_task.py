"""Runs because a task's `not_before` has come: opens it."""

from dataclasses import dataclass

from services.dispatcher.open_task import OpenTask
from taskandgo.store.records import Due
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class StartTask:
    """Fires timers of the kind START."""

    store: Store
    open_task: OpenTask

    async def __call__(self, due: Due) -> None:
        """Open it; a task that was ended meanwhile stays as it is."""
        if task := await self.store.load_spec(due.task_id):
            await self.open_task(task, again=due.claims > 1)
