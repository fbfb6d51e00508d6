"""A real receiver of OTLP over gRPC inside the test: what services export arrives here, and can be waited for."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

PATIENCE_SECONDS = 30.0
#: How long no span may have come for a trace to be called whole.
QUIET_SECONDS = 0.5


@dataclass(frozen=True)
class Span:
    """One span as it came, its ids in hexadecimal digits."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    failed: str
    started: int
    ended: int


@dataclass
class Received:
    """All spans so far."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, spans: list[Span]) -> None:
        """More came."""
        with self.changed:
            self.spans += spans
            self.changed.notify_all()

    def wait_for(self, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """All spans, once there are enough of them."""
        with self.changed:
            came = self.changed.wait_for(lambda: enough(self.spans), PATIENCE_SECONDS)
            assert came, "\n".join(f"{span.service}: {span.name} {span.attributes}" for span in self.spans)
            return list(self.spans)

    def trace(self, task_id: str, *ends: str) -> list[Span]:
        """The spans of this task's trace, once spans of these names are among them and no more come."""

        def of_task(spans: list[Span]) -> list[Span]:
            ids = {span.trace_id for span in spans if span.attributes.get("taskandgo.task.id") == task_id}
            return [span for span in spans if span.trace_id in ids]

        self.wait_for(lambda spans: set(ends) <= {span.name for span in of_task(spans)})
        count = -1
        while count != (count := len(of_task(self.spans))):
            time.sleep(QUIET_SECONDS)  # what has not been sent yet cannot be awaited
        return of_task(self.spans)


class _Receiver(service_grpc.TraceServiceServicer):
    def __init__(self, received: Received) -> None:
        self._received = received

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - OTLP's name
        """Take spans."""
        del context
        for resource in request.resource_spans:
            name = _plain(resource.resource.attributes)["service.name"]
            self._received.add([_span(name, one) for scope in resource.scope_spans for one in scope.spans])
        return service.ExportTraceServiceResponse()


@contextmanager
def receiving() -> Iterator[Received]:
    """A receiver that listens while the context lasts."""
    received = Received()
    server = grpc.server(ThreadPoolExecutor(2))
    service_grpc.add_TraceServiceServicer_to_server(_Receiver(received), server)
    received.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield received
    finally:
        server.stop(None)


def _span(service_name: str, span: Any) -> Span:
    failed = span.status.message if span.status.code == trace_pb2.Status.STATUS_CODE_ERROR else ""
    return Span(
        service=service_name,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_plain(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        failed=failed,
        started=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
