"""More calls at once than are served at once: each waits for its turn, and none is dropped."""

import asyncio
from collections import Counter
from uuid import uuid4

import grpc

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from taskandgo.rpc.client import connect
from tests.e2e.stack import Stack

CALLS = 3500


async def test_thousands_of_calls_at_once_are_all_answered(stack: Stack, client: api_grpc.SchedulerStub) -> None:
    task = api.Task(task_id=f"asked-for-{uuid4().hex}", data="python:print(1)")
    client.SubmitTask(api.SubmitTaskRequest(task=task), timeout=10)
    async with connect(stack.grpc_address) as scheduler:
        codes = Counter(await asyncio.gather(*(_code(scheduler, task.task_id) for _ in range(CALLS))))
    assert codes == {"OK": CALLS}


async def _code(scheduler: "api_grpc.SchedulerAsyncStub", task_id: str) -> str:
    try:
        await scheduler.GetTask(api.GetTaskRequest(task_id=task_id), timeout=60)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
