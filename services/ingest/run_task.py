"""Runs because a client submits a task and stays: the answer to the submit, then all that WatchTask streams."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.ingest.submit_task import SubmitTask
from services.ingest.watch_task import TaskView, WatchTask
from taskandgo.api import scheduler_pb2 as api
from taskandgo.store.records import Acceptance
from taskandgo.store.rows import accepted_task


@dataclass(frozen=True, slots=True)
class RunTask:
    """The use case of RunTask."""

    submit_task: SubmitTask
    watch_task: WatchTask

    async def __call__(self, task: api.Task) -> AsyncIterator[api.SubmitTaskResponse | TaskView]:
        """The submit's answer first; the events are followed before it is announced, so none is missed."""
        submission = await self.submit_task.submission(task)
        task_id = submission.task.task_id
        async with self.watch_task.watchers.follow(task_id) as following:
            acceptance = await self.submit_task.keep(submission)
            await following.bound
            yield self.submit_task.answer(submission.task, acceptance)
            new = acceptance is Acceptance.ACCEPTED
            record = accepted_task(submission.task) if new else await self.watch_task.record(task_id)
            async for view in self.watch_task.views(record, following.events):
                yield view
