"""Runs because a client submits many tasks in one call: each gets its own answer, a bad one sinks no other."""

from dataclasses import dataclass

from services.ingest.submit_task import SubmitTask
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import RefusalError, Violation, invalid
from taskandgo.store.records import Acceptance, Submission

MAX_TASKS = 10_000


@dataclass(frozen=True, slots=True)
class SubmitTasks:
    """The use case of SubmitTasks."""

    submit_task: SubmitTask

    async def __call__(self, request: api.SubmitTasksRequest) -> api.SubmitTasksResponse:
        """Accept what can be accepted; answers come in the order of the request."""
        if len(request.tasks) > MAX_TASKS:
            raise invalid(Violation("tasks", f"has {len(request.tasks)} tasks; at most {MAX_TASKS} are allowed"))
        checked = [self._check(task) for task in request.tasks]
        good = [item for item in checked if isinstance(item, Submission)]
        acceptances = iter(await self.submit_task.store.accept_tasks(good))
        answers = [
            item if isinstance(item, api.SubmitTaskAnswer) else self._answer(item, next(acceptances))
            for item in checked
        ]
        return api.SubmitTasksResponse(answers=answers)

    def _check(self, task: api.Task) -> Submission | api.SubmitTaskAnswer:
        try:
            return self.submit_task.submission(task)
        except RefusalError as refusal:
            return _refused(task.task_id, refusal)

    def _answer(self, submission: Submission, acceptance: Acceptance) -> api.SubmitTaskAnswer:
        try:
            said = self.submit_task.answer(submission.task, acceptance)
        except RefusalError as refusal:
            return _refused(submission.task.task_id, refusal)
        return api.SubmitTaskAnswer(success=True, message=said.message, task_id=said.task_id)


def _refused(task_id: str, refusal: RefusalError) -> api.SubmitTaskAnswer:
    return api.SubmitTaskAnswer(success=False, message=refusal.message, task_id=task_id, error=refusal.to_status())
