"""Every panel of the committed dashboards shows something, once the product has done some of everything."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskandgo.api import scheduler_pb2 as api
from tests.observability.conftest import Observed, dashboards
from tests.observability.load import run_everything

#: The first of them starts servers and nine processes.
pytestmark = pytest.mark.timeout(300)

DOCUMENTED = Path(__file__).parents[2] / "docs" / "metrics.md"
#: Standing for what Grafana puts in.
VARIABLES = {"$__rate_interval": "2m", "$pool": ".*", "$priority": ".*"}
FINAL = (api.TASK_STATE_SUCCEEDED, api.TASK_STATE_FAILED)


@pytest.fixture(scope="module")
def ended(observed: Observed) -> list[api.TaskStatus]:
    """The ends of all tasks: some of everything twice, since what is counted from nothing has not grown yet."""
    first = run_everything(observed.stack)
    counted(observed)
    second = run_everything(observed.stack)
    counted(observed)
    return first + second


def counted(observed: Observed) -> None:
    """Return when Prometheus has seen the ends of all tasks, and what was counted with them."""
    tasks = known_tasks(observed)
    observed.prometheus.once(lambda seen: seen.value("sum(taskandgo_tasks_finished_total)") >= tasks)


def known_tasks(observed: Observed) -> int:
    """How many tasks there are, all of them ended, as the API tells it: other tests had some of their own."""
    with observed.stack.client() as client:
        tasks = client.ListTasks(api.ListTasksRequest(page_size=1000)).tasks
    assert not [task for task in tasks if task.state in (api.TASK_STATE_QUEUED, api.TASK_STATE_RUNNING)]
    return len(tasks)


def expressions(path: Path) -> Iterator[tuple[str, str]]:
    """Each expression of a dashboard's panels, with its panel's title."""
    for panel in json.loads(path.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], with_variables(target["expr"])


def with_variables(expression: str) -> str:
    """The expression as Grafana would send it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def has_data(series: list[dict[str, Any]]) -> bool:
    """Whether there is anything to draw."""
    return any(not math.isnan(float(one["value"][1])) for one in series)


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.stem)
def test_every_expression_returns_data(path: Path, observed: Observed, ended: list[api.TaskStatus]) -> None:
    assert ended
    found = {(title, text): observed.prometheus.query(text) for title, text in expressions(path)}
    assert [panel for panel, series in found.items() if not has_data(series)] == []


def test_no_expression_names_an_unknown_metric(observed: Observed, ended: list[api.TaskStatus]) -> None:
    assert ended
    known = observed.prometheus.names()
    text = "\n".join(expression for path in dashboards() for _, expression in expressions(path))
    assert set(re.findall(r"\b(?:taskandgo|process)_\w+", text)) - known == set()


def test_every_documented_metric_is_there(observed: Observed, ended: list[api.TaskStatus]) -> None:
    assert ended
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", DOCUMENTED.read_text(), re.MULTILINE)
    names = {f"{name}_count" if kind == "histogram" else name for name, kind in rows}
    assert names - observed.prometheus.names() == set()


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.stem)
def test_variables_and_marks_can_be_asked_for(path: Path, observed: Observed, ended: list[api.TaskStatus]) -> None:
    assert ended
    dashboard = json.loads(path.read_text())
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            assert {"default", "normal"} & {one["metric"][label] for one in observed.prometheus.query(metric)}
    for mark in dashboard["annotations"]["list"]:
        observed.prometheus.query(mark["expr"])


@pytest.mark.parametrize("histogram", ["task_queue_wait", "chunk_run", "task"])
def test_durations_point_at_traces(histogram: str, observed: Observed, ended: list[api.TaskStatus]) -> None:
    assert ended
    found = observed.prometheus.exemplars(f"taskandgo_{histogram}_seconds_bucket")
    assert found
    assert all(re.fullmatch("[0-9a-f]{32}", exemplar["labels"]["trace_id"]) for exemplar in found)


def test_two_of_a_service_count_nothing_twice(observed: Observed, ended: list[api.TaskStatus]) -> None:
    seen = observed.prometheus
    assert {status.state for status in ended} == set(FINAL)
    tasks = known_tasks(observed)
    assert seen.value("sum(taskandgo_tasks_finished_total)") == tasks
    assert seen.value("sum(taskandgo_tasks_accepted_total)") == tasks
    assert seen.value("sum(max by (state) (taskandgo_tasks))") == tasks
    assert seen.value("sum(max by (runner, pool) (taskandgo_runner_slots))") == 2
    assert seen.value("count(taskandgo_tasks{state='succeeded'})") == 2


def test_what_a_monitor_tells_is_true_right_after_its_restart(observed: Observed, ended: list[api.TaskStatus]) -> None:
    seen, instance = observed.prometheus, f'instance="{observed.listens["monitor-2"]}"'
    started = seen.value(f"process_start_time_seconds{{{instance}}}")
    observed.stack.stop("monitor-2")
    observed.start("monitor-2")
    seen.once(lambda now: now.query(f"process_start_time_seconds{{{instance}}} > {started}"))
    assert ended
    assert seen.value(f"sum(taskandgo_tasks{{{instance}}})") == known_tasks(observed)
    assert seen.value(f"sum(taskandgo_tasks_waiting{{{instance}}})") == 0
    seen.once(lambda now: now.query(f"sum(taskandgo_runner_slots{{{instance}}}) == 2"), 5)
