"""How the attempts of a task hang together in its trace: under the task, linked to what led to them, and bounded.

An attempt's span has an id that follows from the trace, the chunk and the attempt, so that whoever emits another one
can link to it, in whatever process and however much later, with nothing kept in between.
Promises: however many chunks a task has, its trace has spans of the first hundred and of its reduce; the others are
carried as not sampled, in the same trace, and the end of the task is recorded all the same.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

#: Chunks of a task that are recorded, and chunks that a reduce is linked to.
MOST_CHUNKS = 100
#: Our entry in W3C's tracestate: this chunk is left out of a trace that is recorded.
STATE, LEFT_OUT = "taskandgo", "left-out"

_EMISSION = create_key("taskandgo-emission")
_next_id: ContextVar[int] = ContextVar("next_id", default=0)


@dataclass(slots=True)
class Emission:
    """What the next span has, once: its id (0: any) and its links."""

    span_id: int = 0
    links: Sequence[Link] = ()


class EmissionIds(RandomIdGenerator):
    """Random ids, but for spans whose id is known before."""

    @contextmanager
    def next_is(self, span_id: int) -> Iterator[None]:
        """The span that is made inside gets this id; 0: any."""
        token = _next_id.set(span_id)
        try:
            yield
        finally:
            _next_id.reset(token)

    def generate_span_id(self) -> int:
        """The id that is wanted, or a random one."""
        return _next_id.get() or super().generate_span_id()


def is_sampled(context: SpanContext) -> bool:
    """Whether this is a span that is recorded."""
    return context.is_valid and bool(context.trace_flags & TraceFlags.SAMPLED)


def attempt_id(trace_id: int, chunk_index: int, attempt: int) -> int:
    """The id of the span that emits this attempt."""
    name = f"{trace_id:032x}/{chunk_index}/{attempt}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) or 1


def emission(
    task: Context, cause: SpanContext, place: tuple[int, int, int], gathered: Sequence[tuple[int, int]]
) -> Context:
    """Where an attempt is published: under its task, linked to what led to it and to the attempt before.

    `place` is chunk, number of chunks and attempt; `gathered` are chunks and attempts that a reduce reads, linked too.
    """
    root = get_current_span(task).get_span_context()
    index, count, attempt = place
    if not is_sampled(root):
        return task
    if MOST_CHUNKS <= index < count:
        return _left_out(task, root)
    before = [(index, attempt - 1)] if attempt > 1 else []
    linked = [_attempt(root, *one) for one in (*before, *gathered[:MOST_CHUNKS])]
    links = [Link(one) for one in ([cause] if is_sampled(cause) else []) + linked]
    return set_value(_EMISSION, Emission(attempt_id(root.trace_id, index, attempt), links), task)


def emission_of(context: Context) -> Emission:
    """What a span has that is made now: the emission's id and links, if this is its first one."""
    found = get_value(_EMISSION, context)
    if not isinstance(found, Emission):
        return Emission()
    planned = Emission(found.span_id, found.links)
    found.span_id, found.links = 0, ()
    return planned


def announced(context: Context) -> Context:
    """The context, recorded again if only its chunk was left out."""
    here = get_current_span(context).get_span_context()
    if here.trace_state.get(STATE) != LEFT_OUT or is_sampled(here):
        return context
    flags = TraceFlags(here.trace_flags | TraceFlags.SAMPLED)
    return _in(
        context,
        SpanContext(
            here.trace_id, here.span_id, is_remote=True, trace_flags=flags, trace_state=here.trace_state.delete(STATE)
        ),
    )


def _left_out(context: Context, root: SpanContext) -> Context:
    flags = TraceFlags(root.trace_flags & ~TraceFlags.SAMPLED)
    state = TraceState([(STATE, LEFT_OUT), *root.trace_state.items()])
    return _in(context, SpanContext(root.trace_id, root.span_id, is_remote=True, trace_flags=flags, trace_state=state))


def _in(context: Context, span: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(span), context)


def _attempt(root: SpanContext, chunk_index: int, attempt: int) -> SpanContext:
    return SpanContext(
        root.trace_id, attempt_id(root.trace_id, chunk_index, attempt), is_remote=True, trace_flags=root.trace_flags
    )
