"""Records spans through OpenTelemetry; loaded only while tracing is on, and then behind tracing.py.

Promises: a trace that is not sampled goes on as such and has no spans made for it; only a call of the API begins a
trace, so that what belongs to no task leaves none.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal

from opentelemetry.context import Context, attach, create_key, detach, get_current, get_value, set_value
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)

from taskandgo.telemetry import w3c
from taskandgo.telemetry.chunk_traces import EmissionIds, announced, emission, emission_of, is_sampled
from taskandgo.telemetry.tracing import TASK_ID, Attributes, Carrier

Kind = Literal["internal", "server", "producer", "consumer"]

KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_OF_MANY = create_key("taskandgo-of-many")


class _Within:
    """A context, while a block lasts."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        detach(self._token)


class _Spanned:
    """A span, while a block lasts; not OpenTelemetry's own, which is made of generators and takes far longer."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._token = attach(set_span_in_context(self._span))

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        detach(self._token)
        # A cancellation is no error.
        if isinstance(error, Exception):
            kind = type(error).__qualname__
            self._span.set_attribute("error.type", kind)
            self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, f"{kind}: {error}"))
        self._span.end()


class Recorder:
    """Makes the spans of this process."""

    def __init__(self, tracer: Tracer, ids: EmissionIds) -> None:
        self._tracer = tracer
        self._ids = ids

    def span(
        self,
        name: str,
        kind: Kind = "internal",
        attributes: Attributes | None = None,
        parent: Context | None = None,
        links: Sequence[Link] = (),
    ) -> AbstractContextManager[None]:
        """A span, begun now, around what happens inside, under the parent (None: what runs now) if that is recorded."""
        parent = get_current() if parent is None else parent
        if not self.records(parent):
            return self.within(parent)
        planned = emission_of(parent)
        with self._ids.next_is(planned.span_id):
            return _Spanned(self._tracer.start_span(name, parent, KINDS[kind], attributes, [*links, *planned.links]))

    def begin_call(self, name: str, headers: Mapping[str, object], attributes: Attributes, *, of_many: bool) -> Span:
        """The span of a call, around all that runs in the present asyncio task from now on.

        The sampler decides whether it is recorded. Whoever asked for it ends it.
        """
        parent = w3c.read(headers)
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        # Never detached: a stream of answers may be left in another context than it was begun in.
        attach(set_value(_OF_MANY, of_many, set_span_in_context(span, parent)))
        return span

    def trace_of_new_task(self, task_id: str) -> dict[str, str]:
        """The context of what runs now, or of a trace of the task's own when a call brings many tasks."""
        now = get_current_span()
        called = now.get_span_context()
        if not get_value(_OF_MANY) or not is_sampled(called):
            now.set_attribute(TASK_ID, task_id)
            return self.carrier()
        span = self._tracer.start_span("accept task", Context(), SpanKind.INTERNAL, {TASK_ID: task_id}, [Link(called)])
        with _Spanned(span):
            return self.carrier()

    def emitting(
        self, trace: Carrier, place: tuple[int, int, int], gathered: Sequence[tuple[int, int]]
    ) -> AbstractContextManager[None]:
        """What is published inside is an attempt of a task; see `tracing.emitting`."""
        cause = get_current_span().get_span_context()
        return self.within(emission(self.context_of(trace), cause, place, gathered))

    def within(self, context: Context) -> AbstractContextManager[None]:
        """What happens inside is in this trace, but has no span of its own."""
        return _Within(context)

    def records(self, parent: Context | None) -> bool:
        """Whether a span under the parent (None: what runs now) is recorded."""
        return is_sampled(get_current_span(parent).get_span_context())

    def announced(self) -> Context:
        """The parent of the news that a task has finished: what runs now, also if only its chunk was left out."""
        return announced(get_current())

    def links_to_current(self, parent: Context) -> list[Link]:
        """A link to what runs now, if that is in another trace than the parent."""
        here, there = get_current_span().get_span_context(), get_current_span(parent).get_span_context()
        return [Link(here)] if is_sampled(here) and here.trace_id != there.trace_id else []

    def note(self, attributes: Attributes) -> None:
        """Say this of what runs now."""
        get_current_span().set_attributes(attributes)

    def fail(self, why: str) -> None:
        """What runs now did not come out well."""
        get_current_span().set_status(Status(StatusCode.ERROR, why))

    def carrier(self, context: Context | None = None) -> dict[str, str]:
        """The context (None: of what runs now), to travel."""
        return w3c.write(get_current_span(context).get_span_context())

    def context_of(self, carrier: Mapping[str, object]) -> Context:
        """The context that came with a message or a task; an empty one if there is none."""
        return w3c.read_own(carrier)

    def recorded_trace_id(self) -> str | None:
        """The trace that what runs now is recorded in."""
        context = get_current_span().get_span_context()
        return format_trace_id(context.trace_id) if is_sampled(context) else None

    def ids(self) -> tuple[str, str] | None:
        """Trace and span of what runs now, recorded or not."""
        context: SpanContext = get_current_span().get_span_context()
        return (format_trace_id(context.trace_id), format_span_id(context.span_id)) if context.is_valid else None
