"""Every metric of a runner, in one place. Labels are bounded: an outcome, a language; never an id."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from taskandgo.messages import ChunkFinished
from taskandgo.telemetry.metrics import LIFE_SECONDS, STEP_SECONDS, language_label


class RunnerMetrics:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._attempts = Counter(
            "taskandgo_runner_attempts", "Attempts that ended here.", ["outcome", "language"], registry=registry
        )
        self.slot_seconds = Histogram(
            "taskandgo_runner_slot_seconds",
            "How long an attempt held its slot: build, box, run, and its result confirmed.",
            buckets=LIFE_SECONDS,
            registry=registry,
        )
        self._compile_seconds = Histogram(
            "taskandgo_runner_compile_seconds",
            "How long compilers took.",
            ["language"],
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self._output_bytes = Counter("taskandgo_runner_output_bytes", "What code wrote.", registry=registry)
        self.unpublished = Gauge(
            "taskandgo_runner_results_unpublished", "Results that the broker has not confirmed yet.", registry=registry
        )

    def count(self, finished: ChunkFinished) -> None:
        """Count an attempt that ended, as it is told."""
        language, usage = language_label(finished.language), finished.result.usage
        self._attempts.labels(finished.result.outcome, language).inc()
        self._output_bytes.inc(usage.output_bytes)
        if usage.compile_seconds:
            self._compile_seconds.labels(language).observe(usage.compile_seconds)
