"""The dashboard Tasks and queues: what comes in, what waits and for how long, how it ends, and what went wrong."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.frame import frame
from dashboards.panels import Panels, heat, lines, quantiles, rate, row
from dashboards.series import OLDEST, POOL, PRIORITY, RUNNING, WAITING


def dashboard() -> Dashboard:
    """The dashboard."""
    found = frame("tasks-and-queues", "Tasks and queues", "What comes in, waits, runs and ends; and what went wrong.")
    for title, panels in {
        "Coming in and waiting": _waiting(),
        "How long it takes": _durations(),
        "How it is spread": _spread(),
        "Attempts": _attempts(),
        "Repeated attempts": _repeated(),
        "What went wrong": _faults(),
        "The store": _store(),
    }.items():
        found.with_row(row(title))
        for panel in panels:
            found.with_panel(panel)
    return found


def _waiting() -> Panels:
    return (
        lines(
            "Accepted by priority",
            "Tasks recorded as accepted.",
            "ops",
            {"{{priority}}": f"sum by (priority) ({rate('taskandgo_tasks_accepted_total', PRIORITY)})"},
            stacked=True,
        ),
        lines(
            "Refused",
            "Submitted tasks that were refused: INVALID_ARGUMENT is the client's, RESOURCE_EXHAUSTED a quota.",
            "ops",
            {"{{code}}": f"sum by (code) ({rate('taskandgo_tasks_refused_total')})"},
        ),
        lines(
            "Waiting by priority and pool",
            "Tasks that are queued; those whose start is not due yet do not count.",
            "short",
            {"{{priority}} in {{pool}}": WAITING},
            stacked=True,
        ),
        lines(
            "Running by priority and pool",
            "Tasks of which a chunk has started, and that have not ended.",
            "short",
            {"{{priority}} in {{pool}}": RUNNING},
            stacked=True,
        ),
        lines("Oldest waiting", "Age of the oldest task that waits.", "s", {"{{priority}} in {{pool}}": OLDEST}),
        lines(
            "Chunks in the queues",
            "Attempts that wait in the pool's queue for a free slot.",
            "short",
            {"{{pool}}": f"max by (pool) (taskandgo_chunks_waiting{{{POOL}}})"},
        ),
    )


def _durations() -> Panels:
    return (
        lines(
            "Queue wait by priority",
            "From accepted to the start of the first chunk. The most urgent should wait least.",
            "s",
            quantiles("taskandgo_task_queue_wait_seconds", PRIORITY, "priority"),
        ),
        lines(
            "Run by language",
            "Wall time of the code of one attempt.",
            "s",
            quantiles("taskandgo_chunk_run_seconds", by="language"),
        ),
        lines(
            "Submit to end by priority",
            "From accepted to the final state.",
            "s",
            quantiles("taskandgo_task_seconds", PRIORITY, "priority"),
        ),
    )


def _spread() -> Panels:
    return (
        heat(
            "Queue wait",
            "How many tasks waited how long.",
            f"sum by (le) (increase(taskandgo_task_queue_wait_seconds_bucket{{{PRIORITY}}}[$__rate_interval]))",
        ),
        heat(
            "Run",
            "How many attempts ran how long.",
            "sum by (le) (increase(taskandgo_chunk_run_seconds_bucket[$__rate_interval]))",
        ),
        heat(
            "Submit to end",
            "How many tasks took how long.",
            f"sum by (le) (increase(taskandgo_task_seconds_bucket{{{PRIORITY}}}[$__rate_interval]))",
        ),
    )


def _attempts() -> Panels:
    return (
        lines(
            "Recorded by outcome",
            "Ends of attempts that counted, each recorded once.",
            "ops",
            {"{{outcome}}": f"sum by (outcome) ({rate('taskandgo_results_recorded_total')})"},
            stacked=True,
        ),
        lines(
            "Emitted, started, ended",
            "Attempts put in a queue, begun by a runner, and told to have ended.",
            "ops",
            {
                "emitted": f"sum({rate('taskandgo_chunks_emitted_total', f'{PRIORITY}, {POOL}')})",
                "started": f"sum({rate('taskandgo_chunks_started_total', PRIORITY)})",
                "ended": f"sum({rate('taskandgo_chunks_finished_total')})",
            },
        ),
    )


def _repeated() -> Panels:
    return (
        lines(
            "Retries",
            "Attempts that are to be repeated after a while, by how they ended.",
            "ops",
            {"{{outcome}}": f"sum by (outcome) ({rate('taskandgo_attempts_retried_total')})"},
        ),
        lines(
            "Second attempts at stragglers",
            "Chunks started again because they ran far longer than their siblings, and how many of those won.",
            "ops",
            {
                "started": f"sum({rate('taskandgo_speculative_starts_total')})",
                "won": f"sum({rate('taskandgo_speculative_wins_total')})",
            },
        ),
        lines(
            "Lost attempts",
            "Attempts replaced because their runner died, and chunks given up because they were lost too often.",
            "ops",
            {
                "lost": f"sum({rate('taskandgo_attempts_lost_total')})",
                "given up": f"sum({rate('taskandgo_chunks_given_up_total')})",
            },
        ),
        lines(
            "Duplicates dropped",
            "Results that came late or a second time, and changed nothing.",
            "ops",
            {"dropped": f"sum({rate('taskandgo_results_dropped_total')})"},
        ),
    )


def _faults() -> Panels:
    return (
        lines(
            "Redelivered messages",
            "Messages that the broker delivered again, by queue: a consumer died or gave them back.",
            "ops",
            {"{{queue}}": f"sum by (queue) ({rate('taskandgo_messages_redelivered_total')})"},
        ),
        lines(
            "Set going again",
            "What no queue and no runner held any more, and the store knew of.",
            "ops",
            {"{{kind}}": f"sum by (kind) ({rate('taskandgo_revived_total')})"},
        ),
        lines(
            "New dead letters",
            "Messages that nobody could deal with, by the queue they waited in and the kind of reason.",
            "ops",
            {"{{queue}}: {{reason}}": f"sum by (queue, reason) ({rate('taskandgo_dead_letters_total')})"},
        ),
        lines(
            "Dead letters",
            "Those that nobody has dealt with.",
            "short",
            {"waiting": "max(taskandgo_dead_letter_depth)"},
        ),
    )


def _store() -> Panels:
    return (
        lines(
            "Tasks by state",
            "Tasks in the store.",
            "short",
            {"{{state}}": "max by (state) (taskandgo_tasks)"},
            stacked=True,
        ),
        lines(
            "Blobs",
            "Large input and output that the store keeps apart.",
            "bytes",
            {"all": "max(taskandgo_blob_bytes)"},
        ),
        lines(
            "Blob traffic",
            "Large input and output on its way through ingest's API.",
            "Bps",
            {"{{direction}}": f"sum by (direction) ({rate('taskandgo_ingest_blob_bytes_total')})"},
        ),
    )
