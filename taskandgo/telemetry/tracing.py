"""Traces as services see them: where a span begins is said here, and costs next to nothing while tracing is off.

Promises: tracing is off unless the standard environment variables of OpenTelemetry ask for it; until then nothing of
OpenTelemetry is loaded, no span is made and no message carries a header; what the exporter cannot deliver is dropped,
and never holds anybody up.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from taskandgo.errors import SettingsError

if TYPE_CHECKING:
    from taskandgo.telemetry.recorder import Recorder

#: W3C trace context as it travels: `traceparent`, and `tracestate` if there is one.
Carrier = Mapping[str, str]
Attributes = Mapping[str, str | int]

TASK_ID = "taskandgo.task.id"
NOTHING: AbstractContextManager[None] = nullcontext()
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class _Switch:
    """Holds the recorder while tracing is on."""

    recorder: "Recorder | None" = None


def recorder() -> "Recorder | None":
    """What records spans; None while tracing is off."""
    return _Switch.recorder


def current_trace_id() -> str | None:
    """The trace that what runs now is recorded in, as 32 hexadecimal digits; None if it is in none.

    Cheap enough for every observation of a histogram.
    """
    found = _Switch.recorder
    return found.recorded_trace_id() if found else None


def step(name: str) -> AbstractContextManager[None]:
    """A span around one step of what runs now, if that is recorded."""
    found = _Switch.recorder
    return found.span(name) if found and found.records(None) else NOTHING


def emitting(
    trace: Carrier, place: tuple[int, int, int], gathered: Sequence[tuple[int, int]] = ()
) -> AbstractContextManager[None]:
    """Around the publishing of an attempt of a task with this trace.

    `place` is its chunk, the task's number of chunks, and the attempt; `gathered` are the chunks, with their attempts,
    whose output a reduce reads.
    """
    found = _Switch.recorder
    return found.emitting(trace, place, gathered) if found and trace else NOTHING


def trace_of_new_task(task_id: str) -> dict[str, str]:
    """What a task that is accepted now carries, so that all that becomes of it is in one trace; empty if in none."""
    found = _Switch.recorder
    return found.trace_of_new_task(task_id) if found else {}


@contextmanager
def tracing(service: str) -> Iterator[None]:
    """Record and export spans while the context lasts, if the environment asks for it; SettingsError if wrongly."""
    if not asked_for(os.environ):
        yield
        return
    # Only here, so that nobody who does not trace loads any of it.
    from taskandgo.telemetry.export_spans import exporting  # noqa: PLC0415

    with exporting(service) as found:
        _Switch.recorder = found
        try:
            yield
        finally:
            _Switch.recorder = None


def asked_for(env: Mapping[str, str]) -> bool:
    """Whether these environment variables ask for traces: an OTLP endpoint is set, or OTLP named as the exporter."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = env.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in ("", "otlp", "none"):
        raise SettingsError(f"OTEL_TRACES_EXPORTER={exporter}: must be otlp or none")
    return exporter == "otlp" or (not exporter and any(env.get(name, "").strip() for name in ENDPOINTS))
