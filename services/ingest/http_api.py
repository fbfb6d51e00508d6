"""The HTTP form of the API: the same use cases, in protobuf's own JSON; any content type, as `curl -d` sends it."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.ingest.calls import Calls
from services.ingest.metrics import IngestMetrics
from taskandgo.api import scheduler_pb2 as api
from taskandgo.errors import AwayError
from taskandgo.rpc.call_spans import http_call
from taskandgo.rpc.refusal import RefusalError, Violation, away, invalid

MAX_BODY_BYTES = 16 * 1024 * 1024
HTTP_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}
#: What a query may have more than once, in people's words.
REPEATED = {"label", "state", "outcome"}

Parsed = TypeVar("Parsed", bound=Message)
Endpoint = Callable[[Request], Awaitable[Message]]


def api_routes(calls: Calls, metrics: IngestMetrics) -> list[Route]:
    """The routes of the API."""

    async def submit_task(request: Request) -> Message:
        return await calls.submit_task(_bare_or_wrapped(await _body(request)))

    async def submit_tasks(request: Request) -> Message:
        return await calls.submit_tasks(_parse(await _body(request), api.SubmitTasksRequest()))

    async def list_tasks(request: Request) -> Message:
        return await calls.list_tasks(_list_request(request))

    async def list_chunks(request: Request) -> Message:
        return await calls.list_chunks(_chunks_request(request))

    def route(path: str, method: str, call: str, endpoint: Endpoint) -> Route:
        async def traced(request: Request) -> Message:
            with http_call(call, method, path, request.headers.items):
                return await endpoint(request)

        return Route(path, answering(traced, metrics, call), methods=[method])

    return [
        route("/submit-task", "POST", "SubmitTask", submit_task),
        route("/submit-tasks", "POST", "SubmitTasks", submit_tasks),
        route("/tasks", "GET", "ListTasks", list_tasks),
        route("/tasks/{task_id}", "GET", "GetTask", _by_id(calls.get_task)),
        route("/tasks/{task_id}/cancel", "POST", "CancelTask", _by_id(calls.cancel_task)),
        route("/tasks/{task_id}/chunks", "GET", "ListChunks", list_chunks),
        route("/tasks/{task_id}/explain", "GET", "ExplainTask", _by_id(calls.explain_task)),
        route("/tasks/{task_id}/retry", "POST", "RetryTask", _by_id(calls.retry_task)),
    ]


def _by_id(call: Callable[[str], Awaitable[Message]]) -> Endpoint:
    async def of_task(request: Request) -> Message:
        return await call(request.path_params["task_id"])

    return of_task


def answering(endpoint: Endpoint, metrics: IngestMetrics, call: str) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint with its answer, or its refusal, as JSON."""

    async def answer(request: Request) -> Response:
        try:
            with metrics.call(call):
                return _json(await endpoint(request), 200)
        except RefusalError as refusal:
            return refused(refusal)
        except AwayError as error:
            return refused(away(str(error)))

    return answer


def refused(refusal: RefusalError) -> Response:
    """The refusal as HTTP tells it."""
    headers = {"retry-after": f"{refusal.retry_seconds:.0f}"} if refusal.retry_seconds else {}
    return _json(refusal.to_status(), HTTP_CODES.get(refusal.code, 500), headers)


def _json(message: Message, status: int, headers: dict[str, str] | None = None) -> Response:
    text = json_format.MessageToJson(message, preserving_proto_field_name=True)
    return Response(text + "\n", status, headers, media_type="application/json")


async def _body(request: Request) -> str:
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > MAX_BODY_BYTES:
            raise invalid(Violation("body", f"is larger than {MAX_BODY_BYTES} bytes"))
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise invalid(Violation("body", f"is not UTF-8: {error.reason} at byte {error.start}")) from error


def _bare_or_wrapped(text: str) -> api.Task:
    try:
        return json_format.Parse(text, api.SubmitTaskRequest()).task
    except json_format.ParseError:
        return _parse(text, api.Task())


def _parse(text: str, into: Parsed) -> Parsed:
    try:
        return json_format.Parse(text, into)
    except (json_format.ParseError, UnicodeError, RecursionError) as error:
        raise invalid(Violation("body", f"is not the JSON of a {into.DESCRIPTOR.name}: {error}")) from error


def _list_request(request: Request) -> api.ListTasksRequest:
    labels = dict(_label(pair) for pair in request.query_params.getlist("label"))
    states = _words(request, "state", "TASK_STATE")
    return _parse_query(request, {"states": states, "labels": labels}, api.ListTasksRequest())


def _chunks_request(request: Request) -> api.ListChunksRequest:
    known = {
        "task_id": request.path_params["task_id"],
        "states": _words(request, "state", "CHUNK_STATE"),
        "outcomes": _words(request, "outcome", "OUTCOME"),
    }
    return _parse_query(request, known, api.ListChunksRequest())


def _words(request: Request, name: str, prefix: str) -> list[str]:
    return [f"{prefix}_{word.upper()}" for word in request.query_params.getlist(name)]


def _parse_query(request: Request, known: dict[str, Any], into: Parsed) -> Parsed:
    """The query as a request: `known` is made of its repeated parts, the others are the fields' own names."""
    plain = {name: value for name, value in request.query_params.items() if name not in REPEATED}
    try:
        return json_format.ParseDict({**plain, **known}, into)
    except json_format.ParseError as error:
        raise invalid(Violation("query", str(error))) from error


def _label(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals:
        raise invalid(Violation("label", f"is {pair!r}; give name=value, as in label=team=blue"))
    return key, value
