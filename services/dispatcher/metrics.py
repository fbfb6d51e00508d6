"""Every metric of the dispatcher, in one place. Labels are bounded: a message, a priority, an outcome; never an id."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from taskandgo.broker.broker import Delivery, Disposition, Handler
from taskandgo.telemetry.metrics import STEP_SECONDS


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
        self.chunks_emitted = Counter(
            "taskandgo_chunks_emitted", "Attempts put in their pool's queue.", ["priority"], registry=registry
        )
        self.results_recorded = Counter(
            "taskandgo_results_recorded", "Results that were recorded.", ["outcome"], registry=registry
        )
        self.results_dropped = Counter(
            "taskandgo_results_dropped", "Results that came late or a second time.", registry=registry
        )
        self.attempts_lost = Counter(
            "taskandgo_attempts_lost", "Attempts replaced because their runner died or never began.", registry=registry
        )
        self.chunks_given_up = Counter(
            "taskandgo_chunks_given_up", "Chunks that killed too many runners.", registry=registry
        )
        self.attempts_kept = Counter(
            "taskandgo_attempts_kept",
            "Attempts that went on while their runner had lost its connection.",
            registry=registry,
        )
        self.revived = Counter(
            "taskandgo_revived",
            "What no queue and no runner held any more and was set going again: tasks, chunks, attempts.",
            ["kind"],
            registry=registry,
        )

    def timed(self, queue: str, handler: Handler) -> Handler:
        """The handler, with how long each delivery takes it."""
        seconds = self.message_seconds.labels(queue)

        async def handle(delivery: Delivery) -> Disposition:
            with seconds.time():
                return await handler(delivery)

        return handle
