"""The dashboard Services: each process, and what it does with broker, store and event loop."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.frame import frame
from dashboards.panels import Panels, lines, quantiles, rate, row
from dashboards.series import SERVICES


def dashboard() -> Dashboard:
    """The dashboard."""
    found = frame("services", "Services", "Each process, and what it does with broker, store and event loop.")
    for title, panels in {
        "Processes": _processes(),
        "Calls and messages": _work(),
        "Broker": _broker(),
        "Store": _store(),
    }.items():
        found.with_row(row(title))
        for panel in panels:
            found.with_panel(panel)
    return found


def _processes() -> Panels:
    return (
        lines(
            "Up",
            "Processes that answer, by service.",
            "short",
            {"{{job}}": f"sum by (job) (up{{{SERVICES}}})"},
        ),
        lines(
            "Versions",
            "Processes by the version that they run; two at a time during a deploy.",
            "short",
            {"{{version}}": "count by (version) (taskandgo_build_info)"},
        ),
        lines(
            "Time since start",
            "A line that falls to 0 is a restart.",
            "s",
            {"{{job}} {{instance}}": f"time() - process_start_time_seconds{{{SERVICES}}}"},
        ),
        lines(
            "CPU",
            "Processors that each process uses.",
            "short",
            {"{{job}} {{instance}}": rate("process_cpu_seconds_total", SERVICES)},
        ),
        lines(
            "Memory",
            "Resident memory of each process; no service grows with the backlog.",
            "bytes",
            {"{{job}} {{instance}}": f"process_resident_memory_bytes{{{SERVICES}}}"},
        ),
        lines(
            "Event loop lag",
            "How much later than asked for timers ran: a process with no time left is late.",
            "s",
            quantiles("taskandgo_event_loop_lag_seconds", by="job"),
        ),
        lines(
            "Open files",
            "Files and sockets of each process.",
            "short",
            {"{{job}} {{instance}}": f"process_open_fds{{{SERVICES}}}"},
        ),
    )


def _work() -> Panels:
    return (
        lines(
            "Calls by status",
            "Calls over gRPC and HTTP.",
            "ops",
            {"{{call}} {{code}}": f"sum by (call, code) ({rate('taskandgo_ingest_calls_total')})"},
        ),
        lines(
            "Call latency",
            "From a call's arrival to its answer.",
            "s",
            quantiles("taskandgo_ingest_call_seconds", by="call"),
        ),
        lines(
            "Open streams",
            "Clients that run or watch a task, or stream tasks.",
            "short",
            {"{{instance}}": "taskandgo_ingest_streams_open"},
        ),
        lines(
            "Dispatcher: message handling",
            "From a message's delivery to its answer, by queue.",
            "s",
            quantiles("taskandgo_dispatcher_message_seconds", by="queue"),
        ),
        lines(
            "Monitor: events not counted yet",
            "When this grows, what these pages show is late.",
            "short",
            {"{{queue}}": "max by (queue) (taskandgo_monitor_events_waiting)"},
        ),
        lines(
            "Monitor: age of events",
            "How old an event was when it was counted.",
            "s",
            quantiles("taskandgo_monitor_event_age_seconds", by="event"),
        ),
    )


def _broker() -> Panels:
    return (
        lines(
            "Publish to confirm",
            "How long the broker takes to confirm that it holds a message.",
            "s",
            quantiles("taskandgo_publish_confirm_seconds", by="job"),
        ),
        lines(
            "Cut off from the broker",
            "Processes that are not connected, or whose messages the broker does not take.",
            "short",
            {
                "{{job}} not connected": "sum by (job) (1 - taskandgo_broker_connected)",
                "{{job}} blocked": "sum by (job) (taskandgo_broker_blocked)",
            },
        ),
        lines(
            "Unconfirmed and published again",
            "Messages of ingest on their way, and those a second that had to be sent again.",
            "short",
            {
                "unconfirmed": "sum(taskandgo_ingest_unconfirmed)",
                "{{kind}} again": f"sum by (kind) ({rate('taskandgo_ingest_published_again_total')})",
            },
        ),
    )


def _store() -> Panels:
    size = "taskandgo_group_commit_size"
    return (
        lines(
            "Transactions",
            "From waiting for a connection to the commit.",
            "s",
            quantiles("taskandgo_store_transaction_seconds", by="kind"),
        ),
        lines(
            "Statements",
            "How long the database takes, by what a statement does.",
            "s",
            quantiles("taskandgo_store_statement_seconds", by="verb"),
        ),
        lines(
            "Calls that share a commit",
            "How many calls of a kind go together, on average; more under load.",
            "short",
            {"{{work}}": f"sum by (work) ({rate(size + '_sum')}) / sum by (work) ({rate(size + '_count')})"},
        ),
    )
