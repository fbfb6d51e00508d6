"""Refuses a request that is not the protobuf of its message; the gRPC library would only say INTERNAL.

Promises: INVALID_ARGUMENT that names the field whose text is not UTF-8, by its path; a readable request
costs one look-up more. One of a stream of requests is handed on as its refusal, since it ends no other.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from taskandgo.rpc.refusal import RefusalError, Violation, abort, invalid

# grpcio's types know the handlers of its synchronous server only.
Handler = Any
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A request's bytes, which the library could not read."""

    data: bytes


class RefuseUnreadable(grpc.aio.ServerInterceptor):
    """Stands before the calls of one service."""

    def __init__(self, service: str) -> None:
        self._prefix = f"/{service}/"
        self._checked: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The call's handler, which hears of unreadable requests too."""
        method = handler_call_details.method
        if found := self._checked.get(method):
            return found
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(self._prefix):
            return handler
        checked = self._checked[method] = _checking(handler, _request_of(method))
        return checked


def _request_of(method: str) -> Descriptor:
    name = method.removeprefix("/").replace("/", ".")
    found: Descriptor = descriptor_pool.Default().FindMethodByName(name).input_type
    return found


def _checking(handler: Handler, request_type: Descriptor) -> Handler:
    async def answer(request: object, context: Context) -> object:
        if isinstance(request, Unreadable):
            await abort(context, unreadable(request.data, request_type))
        return await handler.unary_unary(request, context)

    async def stream(request: object, context: Context) -> AsyncIterator[object]:
        if isinstance(request, Unreadable):
            await abort(context, unreadable(request.data, request_type))
        async for item in handler.unary_stream(request, context):
            yield item

    if handler.request_streaming:
        return _checking_each(handler, request_type)
    make = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
    return make(stream if handler.response_streaming else answer, _reading(handler), handler.response_serializer)


def _checking_each(handler: Handler, request_type: Descriptor) -> Handler:
    async def stream(requests: AsyncIterator[object], context: Context) -> AsyncIterator[object]:
        async for item in handler.stream_stream(_readable(requests, request_type), context):
            yield item

    async def answer(requests: AsyncIterator[object], context: Context) -> object:
        return await handler.stream_unary(_readable(requests, request_type), context)

    if not handler.response_streaming:
        return grpc.stream_unary_rpc_method_handler(answer, _reading(handler), handler.response_serializer)
    return grpc.stream_stream_rpc_method_handler(stream, _reading(handler), handler.response_serializer)


async def _readable(requests: AsyncIterator[object], request_type: Descriptor) -> AsyncIterator[object]:
    async for request in requests:
        yield unreadable(request.data, request_type) if isinstance(request, Unreadable) else request


def _reading(handler: Handler) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        try:
            return handler.request_deserializer(data)
        except DecodeError:
            return Unreadable(data)

    return read


def unreadable(data: bytes, kind: Descriptor) -> RefusalError:
    """What is wrong with bytes that are no message of this kind."""
    try:
        found = tuple(_not_utf8(data, kind, ""))
    except DecodeError:
        found = ()
    return invalid(*found or (Violation("request", f"is not the protobuf of {kind.full_name}"),))


def _not_utf8(data: bytes, kind: Descriptor, path: str) -> Iterator[Violation]:
    # A message without fields takes any bytes that are protobuf, and tells them apart by number.
    fields: Any = UnknownFieldSet(Empty.FromString(data))
    for item in fields:
        field = kind.fields_by_number.get(item.field_number)
        if field is None or not isinstance(item.data, bytes):
            continue
        place = f"{path}{field.name}"
        if field.message_type:
            yield from _not_utf8(item.data, field.message_type, f"{place}.")
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield from _bad_text(item.data, place)


def _bad_text(data: bytes, place: str) -> Iterator[Violation]:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        yield Violation(place, f"is not UTF-8: {error.reason} at byte {error.start}; text must be UTF-8")
