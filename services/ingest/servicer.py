"""The gRPC form of the API: unpacks each call, runs its use case, and turns refusals into statuses with details."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any, NoReturn, TypeVar

import grpc

from services.ingest.calls import Calls
from services.ingest.metrics import IngestMetrics
from services.ingest.put_blob import Parts, data_of
from services.ingest.stream_tasks import Requests
from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from taskandgo.errors import AwayError
from taskandgo.rpc.call_spans import grpc_call
from taskandgo.rpc.refusal import RefusalError, abort, away

Answer = TypeVar("Answer")
Context = grpc.aio.ServicerContext[Any, Any]


class SchedulerServicer(api_grpc.SchedulerServicer):
    """scheduler.Scheduler."""

    def __init__(self, calls: Calls, metrics: IngestMetrics) -> None:
        self._calls = calls
        self._metrics = metrics

    async def SubmitTask(self, request: api.SubmitTaskRequest, context: Context) -> api.SubmitTaskResponse:  # noqa: N802 - the API's name
        return await self._answer("SubmitTask", self._calls.submit_task(request.task), context)

    async def SubmitTasks(self, request: api.SubmitTasksRequest, context: Context) -> api.SubmitTasksResponse:  # noqa: N802 - the API's name
        return await self._answer("SubmitTasks", self._calls.submit_tasks(request), context)

    async def GetTask(self, request: api.GetTaskRequest, context: Context) -> api.GetTaskResponse:  # noqa: N802 - the API's name
        return await self._answer("GetTask", self._calls.get_task(request.task_id), context)

    async def ListTasks(self, request: api.ListTasksRequest, context: Context) -> api.ListTasksResponse:  # noqa: N802 - the API's name
        return await self._answer("ListTasks", self._calls.list_tasks(request), context)

    async def CancelTask(self, request: api.CancelTaskRequest, context: Context) -> api.CancelTaskResponse:  # noqa: N802 - the API's name
        return await self._answer("CancelTask", self._calls.cancel_task(request.task_id), context)

    async def WatchTask(  # noqa: N802 - the API's name
        self, request: api.WatchTaskRequest, context: Context
    ) -> AsyncIterator[api.WatchTaskResponse]:
        try:
            with self._metrics.stream("WatchTask"):
                async for view in self._calls.watch_task(request.task_id):
                    if isinstance(view, api.Output):
                        yield api.WatchTaskResponse(output=view)
                    else:
                        yield api.WatchTaskResponse(status=view)
        except (RefusalError, AwayError) as error:
            await _refuse(error, context)

    async def RunTask(  # noqa: N802 - the API's name
        self, request: api.RunTaskRequest, context: Context
    ) -> AsyncIterator[api.RunTaskResponse]:
        try:
            with self._metrics.stream("RunTask"), grpc_call("RunTask", context.invocation_metadata):
                async for view in self._calls.run_task(request.task):
                    if isinstance(view, api.SubmitTaskResponse):
                        yield api.RunTaskResponse(submitted=view)
                    elif isinstance(view, api.Output):
                        yield api.RunTaskResponse(output=view)
                    else:
                        yield api.RunTaskResponse(status=view)
        except (RefusalError, AwayError) as error:
            await _refuse(error, context)

    async def ListChunks(self, request: api.ListChunksRequest, context: Context) -> api.ListChunksResponse:  # noqa: N802 - the API's name
        return await self._answer("ListChunks", self._calls.list_chunks(request), context)

    async def RetryTask(self, request: api.RetryTaskRequest, context: Context) -> api.RetryTaskResponse:  # noqa: N802 - the API's name
        return await self._answer("RetryTask", self._calls.retry_task(request.task_id), context)

    async def ExplainTask(self, request: api.ExplainTaskRequest, context: Context) -> api.ExplainTaskResponse:  # noqa: N802 - the API's name
        return await self._answer("ExplainTask", self._calls.explain_task(request.task_id), context)

    async def StreamTasks(  # noqa: N802 - the API's name
        self, request_iterator: Requests, context: Context
    ) -> AsyncIterator[api.StreamTasksResponse]:
        try:
            with self._metrics.stream("StreamTasks"), grpc_call("StreamTasks", context.invocation_metadata):
                async for answer in self._calls.stream_tasks(request_iterator):
                    yield answer
        except (RefusalError, AwayError) as error:
            await _refuse(error, context)

    async def PutBlob(self, request_iterator: Parts, context: Context) -> api.PutBlobResponse:  # noqa: N802 - the API's name
        return await self._answer("PutBlob", self._calls.put_blob(data_of(request_iterator)), context)

    async def ReadOutput(  # noqa: N802 - the API's name
        self, request: api.ReadOutputRequest, context: Context
    ) -> AsyncIterator[api.ReadOutputResponse]:
        try:
            with self._metrics.stream("ReadOutput"):
                async for block in await self._calls.read_output(request):
                    yield api.ReadOutputResponse(data=block)
        except (RefusalError, AwayError) as error:
            await _refuse(error, context)

    async def WatchCluster(  # noqa: N802 - the API's name
        self, request: api.WatchClusterRequest, context: Context
    ) -> AsyncIterator[api.WatchClusterResponse]:
        del request, context
        with self._metrics.stream("WatchCluster"):
            async for cluster in self._calls.watch_cluster():
                yield api.WatchClusterResponse(cluster=cluster)

    async def _answer(self, name: str, call: Awaitable[Answer], context: Context) -> Answer:
        try:
            with self._metrics.call(name), grpc_call(name, context.invocation_metadata):
                return await call
        except (RefusalError, AwayError) as error:
            await _refuse(error, context)


async def _refuse(error: RefusalError | AwayError, context: Context) -> NoReturn:
    await abort(context, error if isinstance(error, RefusalError) else away(str(error)))
