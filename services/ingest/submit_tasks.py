"""Runs because a client submits many tasks in one call: each gets its own answer, a bad one sinks no other.

All are recorded, group after group, before the first is announced: the client waits for the store alone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from services.ingest.submit_task import SubmitTask, accepted, refused
from taskandgo.api import scheduler_pb2 as api
from taskandgo.errors import AwayError
from taskandgo.rpc.refusal import RefusalError, Violation, away, invalid
from taskandgo.store.records import Acceptance, Submission

MAX_TASKS = 10_000
#: How many are checked before other calls get their turn.
CHECKED_AT_ONCE = 400


@dataclass(frozen=True, slots=True)
class SubmitTasks:
    """The use case of SubmitTasks."""

    submit_task: SubmitTask

    async def __call__(self, request: api.SubmitTasksRequest) -> api.SubmitTasksResponse:
        """Accept what can be accepted; answers come in the order of the request."""
        if len(request.tasks) > MAX_TASKS:
            raise invalid(Violation("tasks", f"has {len(request.tasks)} tasks; at most {MAX_TASKS} are allowed"))
        checked = await self._check(request.tasks)
        kept = await asyncio.gather(*map(self._keep, checked))
        missed = [one for one in kept if isinstance(one, RefusalError) and one.code is grpc.StatusCode.UNAVAILABLE]
        if missed and len(missed) == len(kept):
            raise missed[0]
        return api.SubmitTasksResponse(answers=map(self._answer, request.tasks, checked, kept))

    async def _check(self, tasks: Sequence[api.Task]) -> list[Submission | RefusalError]:
        checked: list[Submission | RefusalError] = []
        for place, task in enumerate(tasks, start=1):
            try:
                checked.append(await self.submit_task.submission(task))
            except RefusalError as refusal:
                checked.append(refusal)
            if place % CHECKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return checked

    async def _keep(self, one: Submission | RefusalError) -> Acceptance | RefusalError:
        if isinstance(one, RefusalError):
            return one
        try:
            return await self.submit_task.keep(one)
        except RefusalError as refusal:
            return refusal
        except AwayError as error:
            return away(str(error))

    def _answer(
        self, task: api.Task, checked: Submission | RefusalError, kept: Acceptance | RefusalError
    ) -> api.SubmitTaskAnswer:
        if isinstance(checked, RefusalError):
            return refused(task.task_id, checked)
        if isinstance(kept, RefusalError):
            return refused(task.task_id, kept)
        try:
            return accepted(self.submit_task.answer(checked.task, kept))
        except RefusalError as refusal:
            return refused(task.task_id, refusal)
