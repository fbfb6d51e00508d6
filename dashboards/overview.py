"""The dashboard Overview: is it healthy, and how much does it do."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.frame import FAULTS, frame
from dashboards.panels import lines, number, quantiles, rate, row
from dashboards.series import BUSY, OLDEST, PRIORITY, RUNNERS, SLOTS, SUCCESS_RATIO, WAITING


def dashboard() -> Dashboard:
    """The dashboard."""
    found = frame("overview", "Overview", "Whether TaskAndGo is healthy, and how much it does.")
    return _throughput(_health(found))


def _health(found: Dashboard) -> Dashboard:
    finished = f"sum({rate('taskandgo_tasks_finished_total', PRIORITY)})"
    numbers = (
        number("Tasks finished", "Tasks that reach a final state, a second.", "ops", finished),
        number(
            "Succeeded",
            "Share of the tasks that ran to an end in success; cancelled and expired ones do not count.",
            "percentunit",
            SUCCESS_RATIO,
            bad=(0.95, 0.8),
        ),
        number("Waiting", "Tasks that are queued.", "short", f"sum({WAITING})"),
        number("Oldest waiting", "Age of the task that waits longest.", "s", f"max({OLDEST})", bad=(60, 600)),
        number("Runners", "Runners that are alive.", "short", f"sum({RUNNERS})", bad=(2, 1)),
        number("Slots busy", "Share of all slots.", "percentunit", f"sum({BUSY}) / sum({SLOTS})", bad=(0.8, 0.95)),
        number(
            "Dead letters",
            "Messages that nobody could deal with, until somebody does.",
            "short",
            "max(taskandgo_dead_letter_depth)",
            bad=(1, 10),
        ),
        number(
            "Down",
            "Processes that Prometheus knows of and cannot reach.",
            "short",
            "sum(1 - up)",
            bad=(1, 2),
        ),
    )
    found.with_row(row("Health at a glance"))
    for panel in numbers:
        found.with_panel(panel)
    return found


def _throughput(found: Dashboard) -> Dashboard:
    panels = (
        lines(
            "Accepted and finished",
            "When more is accepted than finished for long, the backlog grows.",
            "ops",
            {
                "accepted": f"sum({rate('taskandgo_tasks_accepted_total', PRIORITY)})",
                "finished": f"sum({rate('taskandgo_tasks_finished_total', PRIORITY)})",
            },
        ),
        lines(
            "Finished by state",
            "How tasks end.",
            "ops",
            {"{{state}}": f"sum by (state) ({rate('taskandgo_tasks_finished_total', PRIORITY)})"},
            stacked=True,
        ),
        lines(
            "Submit to end",
            "How long half of the tasks, and 99 of 100, took from accepted to their final state.",
            "s",
            quantiles("taskandgo_task_seconds", PRIORITY),
        ),
        lines(
            "Waiting by priority",
            "Tasks that are queued.",
            "short",
            {"{{priority}}": f"sum by (priority) ({WAITING})"},
            stacked=True,
        ),
        lines("Slots", "Room for chunks on all runners.", "short", {"all": f"sum({SLOTS})", "busy": f"sum({BUSY})"}),
        lines(
            "Alerts",
            "Alerts that fire now, by name; docs/runbook.md says what to do.",
            "short",
            {"{{alertname}}": f"count by (alertname) ({FAULTS}) or vector(0)"},
        ),
    )
    found.with_row(row("Throughput"))
    for panel in panels:
        found.with_panel(panel)
    return found
