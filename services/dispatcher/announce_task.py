"""Tells everyone that a task has reached its final state; called once the store says so."""

from taskandgo.broker.broker import Broker
from taskandgo.messages import TaskFinished
from taskandgo.store.records import FinishedTask
from taskandgo.words import NOBODY


async def announce_task(broker: Broker, task: FinishedTask, watcher: str = NOBODY) -> None:
    """Publish TaskFinished; returns when the broker holds it."""
    await broker.publish(
        TaskFinished(
            task_id=task.task_id,
            state=task.state,
            outcome=task.outcome,
            priority=task.priority,
            language=task.language,
            strategy=task.strategy,
            queued_at=task.queued_at,
            started_at=task.started_at,
            finished_at=task.finished_at,
            watcher=watcher,
        )
    )
