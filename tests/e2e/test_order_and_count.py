"""Four processes over RabbitMQ and PostgreSQL: strict order after a pause, and nothing lost or done twice."""

import random
import uuid
from collections.abc import Iterator

import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, running
from tests.servers.rabbitmq import private_rabbitmq

URGENCY = {"critical": 3, "high": 2, "normal": 1, "low": 0}


@pytest.fixture
def services(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Four services with one slot, on a broker of their own."""
    with private_rabbitmq() as rabbitmq_url:
        env = {"BROKER_URL": rabbitmq_url, "STORE_URL": postgres_url, "RUNNER_SLOTS": "1"}
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
        finish(client, [task.task_id for task in tasks])

        started = sorted(all_of(client, run), key=lambda task: task.started_at.ToNanoseconds())

    assert len(started) == len(tasks)
    urgency = [URGENCY[task.priority] for task in started]
    assert urgency == sorted(urgency, reverse=True)


@pytest.mark.timeout(600)
def test_two_thousand_tasks_all_succeed_and_are_recorded_once(services: Stack) -> None:
    run = uuid.uuid4().hex
    tasks = [api.Task(task_id=f"{run}-{n}", data=f"python:print({n})", labels={"run": run}) for n in range(2000)]
    with services.client() as client:
        submit(client, tasks)
        finish(client, [task.task_id for task in tasks])
        found = all_of(client, run)

    assert len({task.task_id for task in found}) == len(found) == len(tasks)
    assert {task.state for task in found} == {api.TASK_STATE_SUCCEEDED}
    assert {(task.chunks_succeeded, task.chunks_failed) for task in found} == {(1, 0)}


def dispatched(client: api_grpc.SchedulerStub, run: str, count: int) -> None:
    """Return when the dispatcher has made chunks of them all."""
    while sum(task.chunk_count for task in all_of(client, run)) < count:
        pass


def finish(client: api_grpc.SchedulerStub, task_ids: list[str]) -> None:
    """Return when all of them have finished."""
    for task_id in task_ids:
        for _ in client.WatchTask(api.WatchTaskRequest(task_id=task_id), timeout=500):
            pass
