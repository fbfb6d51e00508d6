"""Follows a task to its final state, for the commands that wait."""

from typing import TYPE_CHECKING

from services.cli.showing import OPEN_STATES
from taskandgo.api import scheduler_pb2 as api
from taskandgo.errors import AwayError

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


class StreamEndedError(AwayError):
    """The server ended the stream before the task was final; the task goes on."""


async def submit_and_wait(stub: "SchedulerAsyncStub", task: api.Task) -> api.TaskStatus:
    """Submit the task and give back its final state."""
    async for event in stub.RunTask(api.RunTaskRequest(task=task)):
        if is_final(event.status):
            return event.status
    raise StreamEndedError


async def wait_for_end(stub: "SchedulerAsyncStub", task_id: str) -> api.TaskStatus:
    """The task's final state, once it has one."""
    async for event in stub.WatchTask(api.WatchTaskRequest(task_id=task_id)):
        if is_final(event.status):
            return event.status
    raise StreamEndedError


def is_final(status: api.TaskStatus) -> bool:
    """Whether this is a state, and one that stays."""
    return status.state not in (api.TASK_STATE_UNSPECIFIED, *OPEN_STATES)
