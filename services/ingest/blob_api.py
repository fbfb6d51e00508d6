"""The HTTP form of what is too large for JSON: uploads of input, and output as it was written, as plain bytes."""

from collections.abc import Awaitable, Callable

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from services.ingest.calls import Calls
from services.ingest.http_api import answering, refused
from services.ingest.metrics import IngestMetrics
from taskandgo.api import scheduler_pb2 as api
from taskandgo.errors import AwayError
from taskandgo.rpc.refusal import RefusalError, away


def blob_routes(calls: Calls, metrics: IngestMetrics) -> list[Route]:
    """PUT /blobs (and /blobs/, as `curl -T FILE` makes it with a name behind), GET /tasks/{task_id}/stdout, /stderr."""

    async def put_blob(request: Request) -> Message:
        return await calls.put_blob(metrics.carried("received", request.stream()))

    put = answering(put_blob, metrics, "PutBlob")
    streams = {"stdout": api.Output.STREAM_STDOUT, "stderr": api.Output.STREAM_STDERR}
    return [
        Route("/blobs", put, methods=["PUT", "POST"]),
        Route("/blobs/{name:path}", put, methods=["PUT", "POST"]),
        *(Route(f"/tasks/{{task_id}}/{name}", _reading(calls, metrics, kind)) for name, kind in streams.items()),
    ]


def _reading(
    calls: Calls, metrics: IngestMetrics, stream: "api.Output.Stream.ValueType"
) -> Callable[[Request], Awaitable[Response]]:
    async def read(request: Request) -> Response:
        wanted = api.ReadOutputRequest(task_id=request.path_params["task_id"], stream=stream)
        try:
            with metrics.call("ReadOutput"):
                blocks = await calls.read_output(wanted)
        except RefusalError as refusal:
            return refused(refusal)
        except AwayError as error:
            return refused(away(str(error)))
        return StreamingResponse(metrics.carried("sent", blocks), media_type="application/octet-stream")

    return read
