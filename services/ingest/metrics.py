"""Every metric of ingest, in one place. Labels are bounded: a call, a status, a priority, a language; never an id."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from taskandgo.errors import AwayError
from taskandgo.rpc.refusal import RefusalError
from taskandgo.task import TaskSpec
from taskandgo.telemetry.metrics import PRIORITIES, STEP_SECONDS, declare_build, from_zero
from taskandgo.words import LANGUAGES


class IngestMetrics:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._declare_calls(registry)
        self._declare_tasks(registry)
        self._declare_announcing(registry)
        declare_build(registry)

    def _declare_calls(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "taskandgo_ingest_calls",
            "Calls over gRPC and HTTP, by their gRPC status.",
            ["call", "code"],
            registry=registry,
        )
        self.call_seconds = Histogram(
            "taskandgo_ingest_call_seconds",
            "From a call's arrival to its answer; streams are not timed.",
            ["call"],
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self.streams_open = Gauge(
            "taskandgo_ingest_streams_open",
            "Clients that run or watch a task, or stream tasks, now.",
            registry=registry,
        )

    def _declare_tasks(self, registry: CollectorRegistry) -> None:
        self._accepted = from_zero(
            Counter(
                "taskandgo_tasks_accepted", "Tasks recorded as accepted.", ["priority", "language"], registry=registry
            ),
            PRIORITIES,
            LANGUAGES,
        )
        self._refused = from_zero(
            Counter(
                "taskandgo_tasks_refused",
                "Submitted tasks that were refused, by gRPC status.",
                ["code"],
                registry=registry,
            ),
            ("INVALID_ARGUMENT", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED"),
        )

    def _declare_announcing(self, registry: CollectorRegistry) -> None:
        self.unconfirmed = Gauge(
            "taskandgo_ingest_unconfirmed", "Messages published and not yet confirmed.", registry=registry
        )
        self.published_again = from_zero(
            Counter(
                "taskandgo_ingest_published_again",
                "Messages published again because no confirm had come.",
                ["kind"],
                registry=registry,
            ),
            ("task.submitted", "task.cancelled"),
        )

        self._blob_bytes = from_zero(
            Counter(
                "taskandgo_ingest_blob_bytes",
                "Bytes of large input and output that went through; direction is received or sent.",
                ["direction"],
                registry=registry,
            ),
            ("received", "sent"),
        )

    async def carried(self, direction: str, blocks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The same blocks, counted as they pass; `direction` is received or sent."""
        passed = self._blob_bytes.labels(direction)
        async for block in blocks:
            passed.inc(len(block))
            yield block

    def accepted(self, task: TaskSpec) -> None:
        """Count a task that is recorded now."""
        self._accepted.labels(task.priority.word, task.language).inc()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Count the task as refused if what happens inside refuses it."""
        try:
            yield
        except RefusalError as refusal:
            self._refused.labels(refusal.code.name).inc()
            raise

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Count and time one call."""
        with self.call_seconds.labels(name).time(), self._counted(name):
            yield

    @contextmanager
    def stream(self, name: str) -> Iterator[None]:
        """Count one stream, and show it while it is open."""
        with self.streams_open.track_inprogress(), self._counted(name):
            yield

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        code = "UNKNOWN"
        try:
            yield
            code = "OK"
        except RefusalError as refusal:
            code = refusal.code.name
            raise
        except AwayError:
            code = "UNAVAILABLE"
            raise
        except (GeneratorExit, asyncio.CancelledError):
            code = "CANCELLED"
            raise
        finally:
            self.calls.labels(name, code).inc()
