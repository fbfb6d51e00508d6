"""Runs because a client asks for everything that a task wrote: streamed as it is kept, never held as a whole."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc

from services.ingest.get_task import unknown_task
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import RefusalError
from taskandgo.store.store import Store
from taskandgo.words import Stream


@dataclass(frozen=True, slots=True)
class ReadOutput:
    """The use case of ReadOutput."""

    store: Store

    async def __call__(self, request: api.ReadOutputRequest) -> AsyncIterator[bytes]:
        """The bytes of the stream; NOT_FOUND or FAILED_PRECONDITION before the first of them."""
        if await self.store.summary(request.task_id) is None:
            raise await self._not_finished(request.task_id)
        stream = Stream.STDERR if request.stream == api.Output.STREAM_STDERR else Stream.STDOUT
        return self.store.outputs.of_task(request.task_id, stream)

    async def _not_finished(self, task_id: str) -> RefusalError:
        record = await self.store.get_task(task_id)
        if record is None:
            return unknown_task(task_id)
        message = f"Task {task_id} is {record.state}; its output is whole once it has finished"
        return RefusalError(grpc.StatusCode.FAILED_PRECONDITION, message)
