"""SIGTERM while there is work in hand, as a rolling update or an autoscaler sends it: each service ends in time, with
exit code 0, and what it had in hand is finished, by itself or by the next one."""

import itertools
import time
from collections.abc import Iterator

import grpc
import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, running
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

#: What a service may need beyond its work; in quiet it is below one second.
STOPPING_SECONDS = 10.0


@pytest.fixture(scope="module")
def product(rabbitmq_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Four processes over RabbitMQ and PostgreSQL."""
    env = {"BROKER_URL": fresh_vhost(rabbitmq_url), "STORE_URL": fresh_database(postgres_url)}
    with running("services", tmp_path_factory.mktemp("graceful"), env) as started:
        yield started


@pytest.fixture(scope="module")
def client(product: Stack) -> Iterator[api_grpc.SchedulerStub]:
    """A client of it, which waits while ingest is exchanged."""
    with product.client() as connected:
        yield connected


def submit(client: api_grpc.SchedulerStub, code: str, count: int = 1) -> list[str]:
    """Submit tasks; their ids."""
    tasks = [api.Task(data=f"python:{code}") for _ in range(count)]
    answers = client.SubmitTasks(api.SubmitTasksRequest(tasks=tasks), timeout=30, wait_for_ready=True).answers
    return [answer.task_id for answer in answers]


def events(client: api_grpc.SchedulerStub, task_id: str) -> Iterator[api.TaskStatus]:
    """What becomes of a task, until its end."""
    for event in client.WatchTask(api.WatchTaskRequest(task_id=task_id), timeout=60, wait_for_ready=True):
        if event.HasField("status"):
            yield event.status


def until_running(client: api_grpc.SchedulerStub, task_id: str) -> None:
    """Return when the task's code runs."""
    next(status for status in events(client, task_id) if status.state != api.TASK_STATE_QUEUED)


def end(client: api_grpc.SchedulerStub, task_id: str) -> tuple[api.TaskStatus, api.ChunkStatus]:
    """How the task, and its only chunk, ended."""
    *_, last = events(client, task_id)
    (chunk,) = client.ListChunks(api.ListChunksRequest(task_id=task_id), timeout=10).chunks
    return last, chunk


def stopped_in(product: Stack, name: str) -> float:
    """How long the service took from SIGTERM to its end, which is a good one."""
    began = time.monotonic()
    assert product.stop(name) == 0, product.log()
    return time.monotonic() - began


def test_a_runner_finishes_what_runs_and_leaves_the_rest_to_the_next(
    product: Stack, client: api_grpc.SchedulerStub
) -> None:
    slow = submit(client, "import time; time.sleep(8); print('whole')", 2)
    for task_id in slow:
        until_running(client, task_id)
    waiting = submit(client, "print('next')", 20)

    busy = [client.GetTask(api.GetTaskRequest(task_id=one), timeout=10).task.state for one in slow]
    seconds = stopped_in(product, "runner")
    states = [client.GetTask(api.GetTaskRequest(task_id=one), timeout=10).task.state for one in waiting]
    product.start("runner", RUNNER_NAME="the-next")

    assert seconds < 8 + STOPPING_SECONDS
    assert busy == [api.TASK_STATE_RUNNING] * 2
    assert states == [api.TASK_STATE_QUEUED] * 20
    for task_id in slow:
        status, chunk = end(client, task_id)
        assert (status.state, status.result.stdout, chunk.attempt) == (api.TASK_STATE_SUCCEEDED, "whole\n", 1)
    for task_id in waiting:
        status, chunk = end(client, task_id)
        assert (status.state, chunk.runner) == (api.TASK_STATE_SUCCEEDED, "the-next")


def test_a_runner_whose_grace_is_over_hands_back_what_still_runs(
    product: Stack, client: api_grpc.SchedulerStub
) -> None:
    product.stop("runner")
    product.start("runner", RUNNER_DRAIN_SECONDS="1")
    (task_id,) = submit(
        client, "import os, time; time.sleep(60 if os.environ['ATTEMPT'] == '1' else 0); print('again')"
    )
    until_running(client, task_id)

    seconds = stopped_in(product, "runner")
    product.start("runner")
    status, chunk = end(client, task_id)

    assert 1 <= seconds < 1 + STOPPING_SECONDS
    assert (status.state, status.result.stdout, chunk.attempt) == (api.TASK_STATE_SUCCEEDED, "again\n", 2)


def test_a_dispatcher_leaves_nothing_half_done(product: Stack, client: api_grpc.SchedulerStub) -> None:
    tasks = submit(client, "pass", 100)
    until_running(client, tasks[0])

    seconds = stopped_in(product, "dispatcher")
    between = submit(client, "pass", 20)
    product.start("dispatcher")

    assert seconds < STOPPING_SECONDS
    for task_id in (*tasks, *between):
        status, chunk = end(client, task_id)
        assert (status.state, chunk.attempt) == (api.TASK_STATE_SUCCEEDED, 1)


def test_ingest_answers_for_what_it_took_and_turns_away_the_rest(
    product: Stack, client: api_grpc.SchedulerStub
) -> None:
    calls = [client.SubmitTask.future(api.SubmitTaskRequest(task=api.Task(data="python:pass")), timeout=30)
             for _ in range(300)]  # fmt: skip
    next(call for call in itertools.cycle(calls) if call.done())

    seconds = stopped_in(product, "ingest")
    answered = [call.result().task_id for call in calls if call.exception() is None]
    refused = {call.code() for call in calls if call.exception() is not None}
    product.start("ingest")

    assert seconds < STOPPING_SECONDS
    assert answered
    assert refused <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    for task_id in answered:
        status, _ = end(client, task_id)
        assert status.state == api.TASK_STATE_SUCCEEDED


def test_a_monitor_ends_while_much_happens_and_harms_nobody(product: Stack, client: api_grpc.SchedulerStub) -> None:
    tasks = submit(client, "pass", 100)
    until_running(client, tasks[0])

    seconds = stopped_in(product, "monitor")
    product.start("monitor")

    assert seconds < STOPPING_SECONDS
    assert {end(client, task_id)[0].state for task_id in tasks} == {api.TASK_STATE_SUCCEEDED}
