"""The dashboard Runners and sandboxes: who runs code, how busy they are, and what boxes and compilers cost."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.frame import frame
from dashboards.panels import Panels, lines, quantiles, rate, row
from dashboards.series import BUSY, POOL, RUNNERS, SLOTS


def dashboard() -> Dashboard:
    """The dashboard."""
    found = frame("runners-and-sandboxes", "Runners and sandboxes", "Who runs code, how busy, and what boxes cost.")
    for title, panels in {
        "Runners": _runners(),
        "Processes": _processes(),
        "What code uses": _usage(),
        "Sandboxes and compilers": _boxes(),
    }.items():
        found.with_row(row(title))
        for panel in panels:
            found.with_panel(panel)
    return found


def _runners() -> Panels:
    return (
        lines("Runners by pool", "Runners that are alive.", "short", {"{{pool}}": f"sum by (pool) ({RUNNERS})"}),
        lines(
            "Slots by pool",
            "Room for chunks, and how much of it is in use.",
            "short",
            {"{{pool}}": f"sum by (pool) ({SLOTS})", "{{pool}} busy": f"sum by (pool) ({BUSY})"},
        ),
        lines("Busy slots by runner", "Slots in use.", "short", {"{{runner}}": f"sum by (runner) ({BUSY})"}),
        lines(
            "Isolation",
            "Runners by how they confine code and meter what it uses.",
            "short",
            {"{{isolation}}, {{metering}}": f"sum by (isolation, metering) ({RUNNERS})"},
        ),
    )


def _processes() -> Panels:
    return (
        lines(
            "Attempts by outcome",
            "Attempts that ended, as the runners count them.",
            "ops",
            {"{{outcome}}": f"sum by (outcome) ({rate('taskandgo_runner_attempts_total')})"},
            stacked=True,
        ),
        lines(
            "Unpublished results",
            "Results that the broker has not confirmed yet; they pile up while it is away.",
            "short",
            {"{{instance}}": "taskandgo_runner_results_unpublished"},
        ),
        lines(
            "CPU of runners",
            "Processors that runners themselves use, without the code in their boxes.",
            "short",
            {"{{instance}}": rate("process_cpu_seconds_total", 'job="runner"')},
        ),
        lines(
            "Memory of runners",
            "Resident memory of runners themselves.",
            "bytes",
            {"{{instance}}": 'process_resident_memory_bytes{job="runner"}'},
        ),
        lines(
            "Waiting for a slot",
            "Attempts in the pool's queue, which a free slot would take at once.",
            "short",
            {"{{pool}}": f"max by (pool) (taskandgo_chunks_waiting{{{POOL}}})"},
        ),
    )


def _usage() -> Panels:
    return (
        lines(
            "CPU of code",
            "Processors that code in boxes used, counted when an attempt ends.",
            "short",
            {"{{language}}": f"sum by (language) ({rate('taskandgo_runner_code_cpu_seconds_total')})"},
            stacked=True,
        ),
        lines(
            "Peak memory of code",
            "The most memory that half of the attempts, and 99 of 100, held at a time.",
            "bytes",
            quantiles("taskandgo_runner_code_peak_memory_bytes", by="language"),
        ),
        lines(
            "Output of code",
            "What code wrote.",
            "Bps",
            {"written": f"sum({rate('taskandgo_runner_output_bytes_total')})"},
        ),
        lines(
            "Run by language",
            "Wall time of the code of one attempt.",
            "s",
            quantiles("taskandgo_runner_run_seconds", by="language"),
        ),
        lines(
            "Slot held",
            "How long an attempt held its slot: build, box, run, and its result confirmed.",
            "s",
            quantiles("taskandgo_runner_slot_seconds"),
        ),
    )


def _boxes() -> Panels:
    lookups = "taskandgo_runner_compile_cache_lookups_total"
    hits = rate(lookups, 'result="hit"')
    return (
        lines("Sandbox start", "How long boxes took to make.", "s", quantiles("taskandgo_runner_box_making_seconds")),
        lines(
            "Boxes ready",
            "Boxes that wait for a job; none left means that jobs wait for boxes.",
            "short",
            {"{{instance}}": "taskandgo_runner_boxes_ready"},
        ),
        lines(
            "Zygotes replaced",
            "Warm processes that made way for new ones, after enough boxes or because they died or hung.",
            "ops",
            {"replaced": f"sum({rate('taskandgo_runner_zygotes_replaced_total')})"},
        ),
        lines(
            "Compile cache hits",
            "Share of the programs asked for that were compiled already.",
            "percentunit",
            {"hits": f"sum({hits}) / sum({rate(lookups)})"},
        ),
        lines("Compile time", "How long compilers took.", "s", quantiles("taskandgo_runner_compile_seconds")),
        lines(
            "Isolation by process",
            "The level each runner proved at its start.",
            "short",
            {"{{instance}}: {{isolation}}, {{metering}}": "taskandgo_runner_isolation"},
        ),
    )
