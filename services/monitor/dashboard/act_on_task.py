"""Runs because somebody presses a button: cancels a task, or runs it again, through ingest as any client does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from taskandgo.api import scheduler_pb2 as api
from taskandgo.task import Value

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

PATIENCE_SECONDS = 10.0


class Answer(Value, frozen=True, omit_defaults=False):
    """What ingest said; `refused`: it did not do it."""

    message: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class ActOnTask:
    """Calls ingest."""

    stub: "SchedulerAsyncStub"

    async def cancel(self, task_id: str) -> Answer:
        """Cancel the task."""

        async def call() -> str:
            asked = api.CancelTaskRequest(task_id=task_id)
            return (await self.stub.CancelTask(asked, timeout=PATIENCE_SECONDS)).message

        return await _answer(call)

    async def retry(self, task_id: str) -> Answer:
        """Run again what of the task did not succeed."""

        async def call() -> str:
            asked = api.RetryTaskRequest(task_id=task_id)
            return (await self.stub.RetryTask(asked, timeout=PATIENCE_SECONDS)).message

        return await _answer(call)


async def _answer(call: Callable[[], Awaitable[str]]) -> Answer:
    try:
        return Answer(message=await call())
    except grpc.aio.AioRpcError as error:
        return Answer(message=error.details() or error.code().name, refused=True)
