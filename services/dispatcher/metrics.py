"""Every metric of the dispatcher, in one place. Labels are bounded: a message, a priority, an outcome; never an id."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from taskandgo.broker.broker import Delivery, Disposition, Handler
from taskandgo.messages import ChunkFinished
from taskandgo.store.records import Recorded
from taskandgo.telemetry.metrics import STEP_SECONDS, FewValues, declare_build, from_zero
from taskandgo.words import Outcome


class DispatcherMetrics:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.message_seconds = Histogram(
            "taskandgo_dispatcher_message_seconds",
            "From a message's delivery to its answer, by the queue it came from.",
            ["queue"],
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self._declare_attempts(registry)
        self._declare_results(registry)
        self._declare_losses(registry)
        declare_build(registry)

    def _declare_attempts(self, registry: CollectorRegistry) -> None:
        self._pools = FewValues()
        self._chunks_emitted = Counter(
            "taskandgo_chunks_emitted", "Attempts put in their pool's queue.", ["priority", "pool"], registry=registry
        )
        self.speculative_starts = Counter(
            "taskandgo_speculative_starts",
            "Second attempts begun because a chunk ran far longer than its siblings.",
            registry=registry,
        )
        self._speculative_wins = Counter(
            "taskandgo_speculative_wins", "Second attempts that succeeded before the first.", registry=registry
        )

    def _declare_results(self, registry: CollectorRegistry) -> None:
        self._results_recorded = from_zero(
            Counter(
                "taskandgo_results_recorded",
                "Results that were recorded, each once, whatever was delivered twice.",
                ["outcome"],
                registry=registry,
            ),
            Outcome,
        )
        self._results_dropped = Counter(
            "taskandgo_results_dropped", "Results that came late or a second time.", registry=registry
        )
        self._attempts_retried = from_zero(
            Counter(
                "taskandgo_attempts_retried",
                "Attempts that ended badly and are to be repeated after a while, by how they ended.",
                ["outcome"],
                registry=registry,
            ),
            Outcome,
        )

    def _declare_losses(self, registry: CollectorRegistry) -> None:
        self._attempts_lost = Counter(
            "taskandgo_attempts_lost", "Attempts replaced because their runner died or never began.", registry=registry
        )
        self._chunks_given_up = Counter(
            "taskandgo_chunks_given_up",
            "Chunks that killed too many runners, or were lost too often in a row before they were seen to run.",
            registry=registry,
        )
        self.attempts_kept = Counter(
            "taskandgo_attempts_kept",
            "Attempts that went on while their runner had lost its connection.",
            registry=registry,
        )
        self.revived = from_zero(
            Counter(
                "taskandgo_revived",
                "What no queue and no runner held any more and was set going again: tasks, chunks, attempts.",
                ["kind"],
                registry=registry,
            ),
            ("tasks", "chunks", "attempts"),
        )

    def emitted(self, priority: str, pool: str) -> None:
        """Count an attempt that is in its pool's queue."""
        self._chunks_emitted.labels(priority, self._pools.label(pool)).inc()

    def recorded(self, message: ChunkFinished, recorded: Recorded) -> None:
        """Count the end of an attempt, by what became of it."""
        outcome = message.result.outcome
        if not recorded.kept:
            self._results_dropped.inc()
        elif outcome is Outcome.LOST and not recorded.given_up:
            self._attempts_lost.inc()
        else:
            self._results_recorded.labels(outcome).inc()
        if recorded.given_up:
            self._chunks_given_up.inc()
        if recorded.retried:
            self._attempts_retried.labels(outcome).inc()
        if any(message.attempt > other for other in recorded.cancel):
            self._speculative_wins.inc()

    def timed(self, queue: str, handler: Handler) -> Handler:
        """The handler, with how long each delivery takes it."""
        seconds = self.message_seconds.labels(queue)

        async def handle(delivery: Delivery) -> Disposition:
            with seconds.time():
                return await handler(delivery)

        return handle
