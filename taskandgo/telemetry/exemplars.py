"""What an observation of a histogram points at: the trace that it was made in."""

from taskandgo.telemetry.tracing import current_trace_id


def exemplar() -> dict[str, str] | None:
    """The trace that what runs now is recorded in, as Prometheus shows it; None if it is in none."""
    trace_id = current_trace_id()
    return {"trace_id": trace_id} if trace_id else None
