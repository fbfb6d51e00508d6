"""Runs because a client submits a task and stays: the answer to the submit, then all that WatchTask streams."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from services.ingest.submit_task import SubmitTask
from services.ingest.watch_task import TaskView, WatchTask
from taskandgo.api import scheduler_pb2 as api
from taskandgo.store.records import Acceptance, Submission
from taskandgo.store.rows import accepted_task


@dataclass(frozen=True, slots=True)
class RunTask:
    """The use case of RunTask."""

    submit_task: SubmitTask
    watch_task: WatchTask

    async def __call__(self, task: api.Task) -> AsyncIterator[api.SubmitTaskResponse | TaskView]:
        """The submit's answer first; the task names this ingest as its watcher, so that no event is missed."""
        watchers = self.watch_task.watchers
        submission = _watched(await self.submit_task.submission(task), watchers.name)
        task_id = submission.task.task_id
        async with watchers.follow(task_id, late=True) as following:
            acceptance = await self.submit_task.keep(submission)
            yield self.submit_task.answer(submission.task, acceptance)
            if acceptance is Acceptance.ACCEPTED:
                async for view in self.watch_task.views(accepted_task(submission.task), following.events):
                    yield view
                return
        # Whoever submitted it before is its watcher.
        async for view in self.watch_task(task_id):
            yield view


def _watched(submission: Submission, watcher: str) -> Submission:
    task = msgspec.structs.replace(submission.task, watcher=watcher)
    return msgspec.structs.replace(submission, task=task)
