"""Logs as events with keys, to stderr: JSON for machines, or pretty on a terminal; set up once by each main."""

import logging
import sys

import structlog

from taskandgo.settings import LogSettings
from taskandgo.telemetry.tracing import recorder


def configure_logs(settings: LogSettings, service: str) -> None:
    """Log from `log_level` on, in `log_format`, every line with the service's name."""
    pretty = settings.log_format == "pretty" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _in_its_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
    ]
    if not pretty:
        shared.append(structlog.processors.format_exc_info)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        # Else each line, also one that is below the level, makes a logger of its own.
        cache_logger_on_first_use=True,
    )
    _route_library_logs(level, shared, renderer)


def _in_its_trace(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """With trace and span, where there are any, under the names that OpenTelemetry gives them in logs."""
    if (found := recorder()) and (ids := found.ids()):
        event["trace_id"], event["span_id"] = ids
    return event


def _named(service: str) -> structlog.typing.Processor:
    def add(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("service", service)
        return event

    return add


def _route_library_logs(
    level: int, shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    # Libraries tell of every connection at level info; their warnings are what concerns us.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
