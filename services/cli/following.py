"""Follows tasks to their final states, for the commands that wait."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.cli.paging import pages
from services.cli.progress import counting
from services.cli.showing import OPEN_STATES
from taskandgo.api import scheduler_pb2 as api
from taskandgo.errors import AwayError

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

#: Tasks that are watched at a time; the others have usually ended by the time their turn comes.
WATCHED_AT_ONCE = 50


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


async def wait_for_ends(stub: "SchedulerAsyncStub", task_ids: Sequence[str]) -> list[api.TaskStatus]:
    """The final states, in the order of the ids, once all tasks have one."""
    with counting("ended", len(task_ids)) as counted:
        return await _ends(stub, task_ids, counted)


async def wait_for_labelled(stub: "SchedulerAsyncStub", labels: dict[str, str]) -> list[api.TaskStatus]:
    """The final states of all tasks that carry the labels now, the newest first."""
    request = api.ListTasksRequest(labels=labels)
    known = {task.task_id: task async for page in pages(stub.ListTasks, request) for task in page.tasks}
    still_open = [task_id for task_id, task in known.items() if not is_final(task)]
    with counting("ended", len(known)) as counted:
        for _ in range(len(known) - len(still_open)):
            counted()
        ended = await _ends(stub, still_open, counted)
    known |= {task.task_id: task for task in ended}
    return list(known.values())


async def _ends(
    stub: "SchedulerAsyncStub", task_ids: Sequence[str], counted: Callable[[], None]
) -> list[api.TaskStatus]:
    turns = asyncio.Semaphore(WATCHED_AT_ONCE)

    async def end(task_id: str) -> api.TaskStatus:
        async with turns:
            final = await wait_for_end(stub, task_id)
        counted()
        return final

    return await asyncio.gather(*map(end, task_ids))


def is_final(status: api.TaskStatus) -> bool:
    """Whether this is a state, and one that stays."""
    return status.state not in (api.TASK_STATE_UNSPECIFIED, *OPEN_STATES)
