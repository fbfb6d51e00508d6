"""Every metric of the monitor, in one place. Labels are bounded: never an id, and an unknown language is `other`.

What the store and the heartbeats tell is the same at every monitor that runs; events are counted by one of them.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from taskandgo.broker.topology import SHARED_QUEUES
from taskandgo.telemetry.metrics import LANGUAGE_LABELS, LIFE_SECONDS, OTHER, PRIORITIES, declare_build, from_zero
from taskandgo.words import OPEN_STATES, Outcome, TaskState

POOL_QUEUE = "runner.chunk-ready"
#: Where dead letters come from, and why: how a reason begins, and its kind; the broker's own come as they are.
DEAD_LETTER_QUEUES = (*(queue.name for queue in SHARED_QUEUES if queue.max_length is None), POOL_QUEUE, OTHER)
REASONS = {
    "not a message": "undecodable",
    "expected ": "unexpected",
    "rejected": "rejected",
    "expired": "expired",
    "maxlen": "maxlen",
    "delivery_limit": "delivery_limit",
}
DEAD_LETTER_REASONS = (*REASONS.values(), "failed")
FINAL_STATES = tuple(state for state in TaskState if state not in OPEN_STATES)


class Metrics:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._declare_tasks(registry)
        self._declare_chunks(registry)
        self._declare_dead_letters(registry)
        self._declare_runners(registry)
        self._declare_backlog(registry)
        self._declare_events(registry)
        declare_build(registry)

    def _declare_tasks(self, registry: CollectorRegistry) -> None:
        self.tasks_finished = from_zero(
            Counter(
                "taskandgo_tasks_finished",
                "Tasks that reached a final state.",
                ["state", "priority", "language"],
                registry=registry,
            ),
            FINAL_STATES,
            PRIORITIES,
            LANGUAGE_LABELS,
        )
        self.queue_wait = Histogram(
            "taskandgo_task_queue_wait_seconds",
            "From accepted to the first chunk's start.",
            ["priority"],
            buckets=LIFE_SECONDS,
            registry=registry,
        )
        self.task_seconds = Histogram(
            "taskandgo_task_seconds",
            "From accepted to the final state.",
            ["priority", "language"],
            buckets=LIFE_SECONDS,
            registry=registry,
        )

    def _declare_chunks(self, registry: CollectorRegistry) -> None:
        self.chunks_started = from_zero(
            Counter(
                "taskandgo_chunks_started", "Attempts that runners began.", ["priority", "language"], registry=registry
            ),
            PRIORITIES,
            LANGUAGE_LABELS,
        )
        self.chunks_finished = from_zero(
            Counter(
                "taskandgo_chunks_finished",
                "Attempts that ended, as runners told it; what of it was recorded, dispatchers count.",
                ["outcome", "language"],
                registry=registry,
            ),
            Outcome,
            LANGUAGE_LABELS,
        )
        self.run_seconds = Histogram(
            "taskandgo_chunk_run_seconds",
            "Wall time of the code of one attempt.",
            ["outcome", "language"],
            buckets=LIFE_SECONDS,
            registry=registry,
        )

    def _declare_dead_letters(self, registry: CollectorRegistry) -> None:
        self.dead_letters = from_zero(
            Counter(
                "taskandgo_dead_letters",
                "Messages that nobody could deal with, by the queue they waited in and the kind of reason.",
                ["queue", "reason"],
                registry=registry,
            ),
            DEAD_LETTER_QUEUES,
            DEAD_LETTER_REASONS,
        )
        self.dead_letter_depth = Gauge(
            "taskandgo_dead_letter_depth",
            "Dead letters that nobody has dealt with; NaN while the broker is away.",
            registry=registry,
        )

    def _declare_runners(self, registry: CollectorRegistry) -> None:
        self.runner_slots = Gauge(
            "taskandgo_runner_slots", "Chunks a runner can run at once.", ["runner", "pool"], registry=registry
        )
        self.runners = Gauge(
            "taskandgo_runners",
            "Runners that are alive, by how they confine code and meter it.",
            ["pool", "isolation", "metering"],
            registry=registry,
        )
        self.runner_slots_busy = Gauge(
            "taskandgo_runner_slots_busy", "Slots in use.", ["runner", "pool"], registry=registry
        )

    def _declare_backlog(self, registry: CollectorRegistry) -> None:
        self.tasks_waiting = Gauge(
            "taskandgo_tasks_waiting",
            "Tasks that are queued, those not counted whose start is not due yet.",
            ["priority", "pool"],
            registry=registry,
        )
        self.oldest_waiting_seconds = Gauge(
            "taskandgo_oldest_waiting_seconds",
            "Age of the oldest task that waits; 0 if none.",
            ["priority", "pool"],
            registry=registry,
        )
        self.tasks_running = Gauge(
            "taskandgo_tasks_running",
            "Tasks of which a chunk has started, and that have not ended.",
            ["priority", "pool"],
            registry=registry,
        )
        self.tasks = Gauge("taskandgo_tasks", "Tasks in the store.", ["state"], registry=registry)
        self.chunks_waiting = Gauge(
            "taskandgo_chunks_waiting",
            "Attempts that wait in a pool's queue for a free slot.",
            ["pool"],
            registry=registry,
        )
        self.blobs = Gauge("taskandgo_blobs", "Blobs in the store: input and output kept apart.", registry=registry)
        self.blob_bytes = Gauge("taskandgo_blob_bytes", "Size of all blobs in the store.", registry=registry)

    def _declare_events(self, registry: CollectorRegistry) -> None:
        self.events_waiting = Gauge(
            "taskandgo_monitor_events_waiting",
            "Events that the monitors have not counted yet, by their queue.",
            ["queue"],
            registry=registry,
        )
        self.event_age_seconds = Histogram(
            "taskandgo_monitor_event_age_seconds",
            "How old an event was when it was counted, by the clocks of two machines.",
            ["event"],
            buckets=LIFE_SECONDS,
            registry=registry,
        )
