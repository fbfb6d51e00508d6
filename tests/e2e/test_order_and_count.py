"""Four processes over RabbitMQ and PostgreSQL: strict order after a pause, and nothing lost or done twice."""

import random
import uuid
from collections.abc import Iterator

import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, running
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

URGENCY = {"critical": 3, "high": 2, "normal": 1, "low": 0}
OPEN = (api.TASK_STATE_QUEUED, api.TASK_STATE_RUNNING)


@pytest.fixture(scope="module")
def services(rabbitmq_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Four services with nobody else's messages and tasks."""
    env = {"BROKER_URL": fresh_vhost(rabbitmq_url), "STORE_URL": fresh_database(postgres_url)}
    with running("services", tmp_path_factory.mktemp("order"), env) as started:
        yield started


def submit(client: api_grpc.SchedulerStub, tasks: list[api.Task]) -> None:
    """Submit them all, a hundred a call."""
    for start in range(0, len(tasks), 100):
        answers = client.SubmitTasks(api.SubmitTasksRequest(tasks=tasks[start : start + 100]), timeout=30).answers
        assert all(answer.success for answer in answers)


def all_of(client: api_grpc.SchedulerStub, label: str) -> list[api.TaskStatus]:
    """Every task of the label, page by page."""
    found: list[api.TaskStatus] = []
    token = ""
    while True:
        request = api.ListTasksRequest(labels={"run": label}, page_size=1000, page_token=token)
        page = client.ListTasks(request, timeout=30)
        found.extend(page.tasks)
        token = page.next_page_token
        if not token:
            return found


@pytest.mark.timeout(600)
def test_a_backlog_runs_in_strict_priority_order(services: Stack) -> None:
    services.stop("runner")
    # Starts of two slots at once have no order.
    services.env["RUNNER_SLOTS"] = "1"
    run = uuid.uuid4().hex
    priorities = list(URGENCY) * 250
    random.Random(7).shuffle(priorities)
    tasks = [
        api.Task(task_id=f"{run}-{number}", priority=priority, data="python:pass", labels={"run": run})
        for number, priority in enumerate(priorities)
    ]
    with services.client() as client:
        submit(client, tasks)
        dispatched(client, run, len(tasks))
        services.start("runner")
        finish(client, run)

        started = sorted(all_of(client, run), key=lambda task: task.started_at.ToNanoseconds())

    assert len(started) == len(tasks)
    urgency = [URGENCY[task.priority] for task in started]
    assert urgency == sorted(urgency, reverse=True)


@pytest.mark.timeout(600)
def test_two_thousand_tasks_all_succeed_and_are_recorded_once(services: Stack) -> None:
    services.stop("runner")
    services.env["RUNNER_SLOTS"] = "2"
    services.start("runner")
    run = uuid.uuid4().hex
    tasks = [api.Task(task_id=f"{run}-{n}", data=f"python:print({n})", labels={"run": run}) for n in range(2000)]
    with services.client() as client:
        submit(client, tasks)
        finish(client, run)
        found = all_of(client, run)

    assert len({task.task_id for task in found}) == len(found) == len(tasks)
    assert {task.state for task in found} == {api.TASK_STATE_SUCCEEDED}
    assert {(task.chunks_succeeded, task.chunks_failed) for task in found} == {(1, 0)}


def dispatched(client: api_grpc.SchedulerStub, run: str, count: int) -> None:
    """Return when the dispatcher has made chunks of them all."""
    while sum(task.chunk_count for task in all_of(client, run)) < count:
        pass


def finish(client: api_grpc.SchedulerStub, run: str) -> None:
    """Return when all of them have finished; the newest of the least urgent is likely the last."""
    while waiting := [task for task in all_of(client, run) if task.state in OPEN]:
        last = min(waiting, key=lambda task: URGENCY[task.priority])
        for _ in client.WatchTask(api.WatchTaskRequest(task_id=last.task_id), timeout=500):
            pass
