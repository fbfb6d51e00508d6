"""Follows tasks to their final states, for the commands that wait."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import grpc

from services.cli.paging import pages
from services.cli.progress import counting
from services.cli.showing import OPEN_STATES
from taskandgo.api import scheduler_pb2 as api
from taskandgo.errors import AwayError

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

#: Tasks that are watched at a time; the others have usually ended by the time their turn comes.
WATCHED_AT_ONCE = 50
#: How long a server may take to come back, or another to take its place.
PATIENCE_SECONDS = 30.0


class StreamEndedError(AwayError):
    """The server ended the stream before the task was final; the task goes on."""


async def submit_and_wait(stub: "SchedulerAsyncStub", task: api.Task) -> api.TaskStatus:
    """Submit the task and give back its final state."""
    async for event in stub.RunTask(api.RunTaskRequest(task=task)):
        if is_final(event.status):
            return event.status
    raise StreamEndedError


async def wait_for_end(stub: "SchedulerAsyncStub", task_id: str, *, heard: bool = False) -> api.TaskStatus:
    """The task's final state, once it has one; a server that stops meanwhile is given time for another to be there.

    `heard` when it has answered for this task before; else nobody may be there at all.
    """
    patient_until = 0.0
    while True:
        failure: StreamEndedError | grpc.aio.AioRpcError = StreamEndedError()
        try:
            async for event in stub.WatchTask(api.WatchTaskRequest(task_id=task_id)):
                heard, patient_until = True, 0.0
                if is_final(event.status):
                    return event.status
        except grpc.aio.AioRpcError as error:
            failure = error
        now = asyncio.get_running_loop().time()
        patient_until = patient_until or now + PATIENCE_SECONDS
        if not (heard and is_restart(failure)) or now >= patient_until:
            raise failure
        await asyncio.sleep(random.uniform(0.2, 1))  # noqa: S311 - jitter, no secret


def is_restart(error: StreamEndedError | grpc.aio.AioRpcError) -> bool:
    """Whether a server that is being replaced ends a stream so."""
    return isinstance(error, StreamEndedError) or error.code() is grpc.StatusCode.UNAVAILABLE


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
