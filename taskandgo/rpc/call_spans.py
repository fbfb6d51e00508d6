"""Spans of the calls that begin something: in the caller's trace if the call came with one, else in a new one.

Promises: calls that only look leave no trace, however often they are made; a call that is refused for what it asks is
no error of ours.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import grpc

from taskandgo.errors import AwayError
from taskandgo.rpc.refusal import RefusalError
from taskandgo.telemetry.tracing import NOTHING, recorder

if TYPE_CHECKING:
    from opentelemetry.trace import Span

#: Gives the headers or the metadata of a call.
Headers = Callable[[], Iterable[tuple[str, str | bytes]] | None]

SERVICE = "scheduler.Scheduler"
#: Calls that one task comes with, that many come with, and that go on with one.
OF_ONE, OF_MANY, OF_OLD = {"SubmitTask", "RunTask"}, {"SubmitTasks", "StreamTasks"}, {"RetryTask", "CancelTask"}
TRACED = OF_ONE | OF_MANY | OF_OLD
#: What says that we failed, and not that the caller asked for the wrong thing.
OURS = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


def grpc_call(call: str, metadata: Headers) -> AbstractContextManager[None]:
    """Around a call over gRPC; its code runs in a task of its own."""
    if recorder() is None or call not in TRACED:
        return NOTHING
    name = f"{SERVICE}/{call}"
    return _serving(call, name, {"rpc.system.name": "grpc", "rpc.method": name}, metadata)


def http_call(call: str, method: str, route: str, headers: Headers) -> AbstractContextManager[None]:
    """The same over HTTP."""
    if recorder() is None or call not in TRACED:
        return NOTHING
    return _serving(call, f"{method} {route}", {"http.request.method": method, "http.route": route}, headers)


@contextmanager
def _serving(call: str, name: str, attributes: dict[str, str], headers: Headers) -> Iterator[None]:
    found = recorder()
    assert found is not None
    span = found.begin_call(name, dict(headers() or ()), attributes, of_many=call in OF_MANY)
    try:
        yield
    except (RefusalError, AwayError) as error:
        code = error.code if isinstance(error, RefusalError) else grpc.StatusCode.UNAVAILABLE
        _tell(span, code.name, str(error), ours=code in OURS)
        raise
    except Exception as error:
        _tell(span, type(error).__qualname__, str(error), ours=True)
        raise
    finally:
        span.end()


def _tell(span: "Span", kind: str, why: str, *, ours: bool) -> None:
    # Loaded with the recorder that made the span.
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

    span.set_attribute("error.type", kind)
    if ours:
        span.set_status(Status(StatusCode.ERROR, why))
