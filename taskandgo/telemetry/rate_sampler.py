"""Which traces are recorded unless OTEL_TRACES_SAMPLER says otherwise: all, until there are very many.

Promises: whoever submits a few tasks finds the trace of each; under load recording takes a bounded share of the time.
A caller that has decided for its own trace is followed, both ways.
"""

import time
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

#: New traces that a process records: at once, and each second from then on. A trace takes about five milliseconds of a
#: processor in all services together, so that two a second are little beside whatever a busy system does.
AT_ONCE, A_SECOND = 20, 2


class RateSampler(Sampler):
    """Records so many new traces at once, and so many a second from then on."""

    def __init__(self, at_once: int, a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(at_once)
        self._a_second = a_second
        self._clock = clock
        self._left = self._most
        self._counted_at = clock()

    def should_sample(  # noqa: PLR0913, PLR0917 - OpenTelemetry's own
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Record it while there is room."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._counted_at) * self._a_second)
        self._counted_at = now
        if self._left < 1:
            return SamplingResult(Decision.DROP)
        self._left -= 1
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        """How it is called where it is shown."""
        return f"RateSampler{{{self._most:g} at once, {self._a_second:g} a second}}"


def default_sampler() -> Sampler:
    """The sampler that is used when none is named."""
    return ParentBased(RateSampler(AT_ONCE, A_SECOND))
