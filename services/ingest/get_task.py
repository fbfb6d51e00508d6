"""Runs because a client asks for one task."""

from dataclasses import dataclass

import grpc

from services.ingest.task_status import task_status
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import RefusalError
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class GetTask:
    """The use case of GetTask."""

    store: Store

    async def __call__(self, task_id: str) -> api.GetTaskResponse:
        """The task as it is now; NOT_FOUND if there is none."""
        record = await self.store.get_task(task_id)
        if record is None:
            raise unknown_task(task_id)
        return api.GetTaskResponse(task=task_status(record))


def unknown_task(task_id: str) -> RefusalError:
    """NOT_FOUND, naming the id."""
    return RefusalError(grpc.StatusCode.NOT_FOUND, f"there is no task {task_id!r}")
