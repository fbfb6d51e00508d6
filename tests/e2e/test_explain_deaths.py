"""`explain` names what only four processes can suffer: a dead runner, no dispatcher, a full server, a broker away."""

import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, running
from tests.e2e.test_explain import SLEEPS, codes, ended, explained, submit
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import NODES, fresh_vhost, private_rabbitmq


@pytest.fixture
def services(rabbitmq_url: str, postgres_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Four processes of this test's own, with one runner that has two slots."""
    env = {"BROKER_URL": fresh_vhost(rabbitmq_url), "STORE_URL": fresh_database(postgres_url)}
    with running("services", tmp_path, env | {"INGEST_MAX_QUEUED": "3"}) as stack:
        yield stack


def test_deaths_are_named(services: Stack) -> None:
    with services.client() as client:
        task_id = submit(client, data=SLEEPS)
        explained(client, task_id, "RUNNING")

        services.stop("runner", signal.SIGKILL)
        silent = explained(client, task_id, "RUNNER_SILENT")
        assert codes(silent) == ["RUNNING", "RUNNER_SILENT"]
        waiting = submit(client, data="python:pass")
        assert "no runner of pool 'default'" in explained(client, waiting, "NO_RUNNERS").headline

        services.start("runner-2", RUNNER_NAME="second")
        again = explained(client, task_id, "LOST_BEFORE")
        again = again if codes(again)[0] == "RUNNING" else explained(client, task_id, "RUNNING")
        assert again.headline.startswith("Running: attempt 2 runs on second")
        assert "LOST_BEFORE" in codes(again)
        ended(client, waiting)
        client.CancelTask(api.CancelTaskRequest(task_id=task_id), timeout=30)

        services.stop("dispatcher")
        unseen = submit(client, data="python:pass")
        assert codes(explained(client, unseen, "DISPATCH")) == ["DISPATCH"]

        fill(client)
        full = held_back(client)
        assert full.state == api.TASK_STATE_UNSPECIFIED
        assert "3 tasks are queued, as many as this server keeps waiting" in full.headline


def fill(client: api_grpc.SchedulerStub) -> None:
    """Submit until no more tasks are let in."""
    while True:
        try:
            submit(client, data="python:pass")
        except grpc.RpcError as error:
            assert_code(error, grpc.StatusCode.RESOURCE_EXHAUSTED)
            return


def held_back(client: api_grpc.SchedulerStub) -> api.Explanation:
    """The explanation of a task that a stream offers to a full server."""
    held = api.StreamTasksRequest(task=api.Task(task_id="held", data="python:pass"))
    answers = client.StreamTasks(iter([held]))
    while not answers.done():
        try:
            return explained(client, "held", "ADMISSION")
        except grpc.RpcError as error:
            # Ingest has not read of it yet.
            assert_code(error, grpc.StatusCode.NOT_FOUND)
    raise AssertionError("the stream ended")


def assert_code(error: grpc.RpcError, code: grpc.StatusCode) -> None:
    """It was refused for this and nothing else."""
    assert error.code() is code, error


def test_a_broker_that_is_away_is_named(postgres_url: str, tmp_path: Path) -> None:
    with private_rabbitmq() as url:
        env = {"BROKER_URL": url, "STORE_URL": fresh_database(postgres_url)}
        with running("services", tmp_path, env, ["ingest"]) as stack, stack.client() as client:
            NODES[url].control("stop_app")
            task_id = submit(client, data="python:print(1)")
            explanation = explained(client, task_id, "BROKER_AWAY")
            assert codes(explanation) == ["BROKER_AWAY"]
            assert "it is recorded" in explanation.headline
            # Told to stop, it would wait for the broker.
            stack.stop("ingest", signal.SIGKILL)
