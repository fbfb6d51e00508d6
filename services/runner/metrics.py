"""Every metric of a runner, in one place. Labels are bounded: an outcome, a language; never an id."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.runner.sandbox.events import SandboxEvents
from services.runner.sandbox.sandbox import Sandbox
from taskandgo.messages import ChunkFinished
from taskandgo.telemetry.exemplars import exemplar
from taskandgo.telemetry.metrics import (
    LANGUAGE_LABELS,
    LIFE_SECONDS,
    MEMORY_BYTES,
    STEP_SECONDS,
    declare_build,
    from_zero,
    language_label,
)
from taskandgo.words import Outcome


class RunnerMetrics:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._attempts = from_zero(
            Counter(
                "taskandgo_runner_attempts", "Attempts that ended here.", ["outcome", "language"], registry=registry
            ),
            Outcome,
            LANGUAGE_LABELS,
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
        self._run_seconds = Histogram(
            "taskandgo_runner_run_seconds",
            "Wall time of the code of one attempt.",
            ["outcome", "language"],
            buckets=LIFE_SECONDS,
            registry=registry,
        )
        self._declare_usage(registry)
        self.unpublished = Gauge(
            "taskandgo_runner_results_unpublished", "Results that the broker has not confirmed yet.", registry=registry
        )
        self._declare_sandbox(registry)
        declare_build(registry)

    def _declare_usage(self, registry: CollectorRegistry) -> None:
        self._output_bytes = Counter("taskandgo_runner_output_bytes", "What code wrote.", registry=registry)
        self._cpu_seconds = from_zero(
            Counter(
                "taskandgo_runner_code_cpu_seconds", "Processor time that code used.", ["language"], registry=registry
            ),
            LANGUAGE_LABELS,
        )
        self._peak_memory = Histogram(
            "taskandgo_runner_code_peak_memory_bytes",
            "The most memory that an attempt held at a time.",
            ["language"],
            buckets=MEMORY_BYTES,
            registry=registry,
        )
        self._compile_cache = from_zero(
            Counter(
                "taskandgo_runner_compile_cache_lookups",
                "Programs that were asked for, by whether they were compiled already: hit or miss.",
                ["result"],
                registry=registry,
            ),
            ("hit", "miss"),
        )

    def _declare_sandbox(self, registry: CollectorRegistry) -> None:
        box_seconds = Histogram(
            "taskandgo_runner_box_making_seconds",
            "How long boxes took to make; its count is how many were made.",
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self.boxes_ready = Gauge("taskandgo_runner_boxes_ready", "Boxes that wait for a job.", registry=registry)
        replaced = Counter(
            "taskandgo_runner_zygotes_replaced",
            "Zygotes replaced, because they had made enough boxes, died or hung.",
            registry=registry,
        )
        self._isolation = Gauge(
            "taskandgo_runner_isolation",
            "The level of isolation, and how what boxes use is metered; always 1.",
            ["isolation", "metering"],
            registry=registry,
        )
        self.sandbox_events = SandboxEvents(box_seconds.observe, replaced.inc)

    def show_sandbox(self, sandbox: Sandbox) -> None:
        """Show how code is confined here, and from now on how many boxes are ready."""
        self._isolation.labels(sandbox.isolation, sandbox.metering).set(1)
        self.boxes_ready.set_function(lambda: sandbox.boxes_ready)

    def looked_up(self, *, hit: bool) -> None:
        """Count a program that was asked for."""
        self._compile_cache.labels("hit" if hit else "miss").inc()

    def count(self, finished: ChunkFinished) -> None:
        """Count an attempt that ended, as it is told."""
        language, usage = language_label(finished.language), finished.result.usage
        self._attempts.labels(finished.result.outcome, language).inc()
        self._output_bytes.inc(usage.output_bytes)
        if finished.started_at:
            self._run_seconds.labels(finished.result.outcome, language).observe(usage.wall_seconds, exemplar())
            self._cpu_seconds.labels(language).inc(usage.cpu_seconds)
            self._peak_memory.labels(language).observe(usage.peak_memory_bytes)
        if usage.compile_seconds:
            self._compile_seconds.labels(language).observe(usage.compile_seconds)
