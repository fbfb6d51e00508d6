"""Sends spans to an OTLP receiver, as the standard environment variables of OpenTelemetry say; loaded when they do.

Promises: spans leave from a thread of their own, many at a time; when the receiver is away they are dropped, not kept.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from taskandgo.errors import SettingsError
from taskandgo.telemetry.chunk_traces import EmissionIds
from taskandgo.telemetry.rate_sampler import default_sampler
from taskandgo.telemetry.recorder import Recorder

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
NAME = "taskandgo"


@contextmanager
def exporting(service: str) -> Iterator[Recorder]:
    """A recorder whose spans are sent; leaving the context sends what is left."""
    ids = EmissionIds()
    # With a sampler named there, the environment's.
    sampler = None if os.environ.get("OTEL_TRACES_SAMPLER") else default_sampler()
    provider = TracerProvider(sampler, _resource(service), shutdown_on_exit=False, id_generator=ids)
    provider.add_span_processor(BatchSpanProcessor(_exporter()))
    try:
        yield Recorder(provider.get_tracer(NAME, version(NAME)), ids)
    finally:
        provider.shutdown()


def _resource(service: str) -> Resource:
    own = {
        "service.name": f"{NAME}-{service}",
        "service.version": version(NAME),
        "service.instance.id": str(uuid.uuid4()),
    }
    # Whoever runs it may name it otherwise.
    return Resource.create(own).merge(OTELResourceDetector().detect())


def _exporter() -> SpanExporter:
    name = next((name for name in PROTOCOLS if os.environ.get(name)), PROTOCOLS[-1])
    # Each loads a client of its own.
    match os.environ.get(name, "grpc").strip().lower():
        case "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            return OTLPSpanExporter()
        case "http/protobuf":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter as HttpSpanExporter,
            )

            return HttpSpanExporter()
        case other:
            raise SettingsError(f"{name}={other}: must be grpc or http/protobuf")
