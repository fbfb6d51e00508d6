"""Split tasks where much goes wrong, with two dispatchers and two runners over RabbitMQ and PostgreSQL, and embedded.

The same with 10,000 and 100,000 chunks, which needs minutes, is `python -m bench.split`.
"""

import signal
from collections.abc import Iterator

import pytest

from bench.crowded_split import many_chunks, measure_waits
from bench.memory import resident_bytes
from bench.uneven_split import Uneven, ended, run_uneven, uneven_task
from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, running
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

SERVICES = ("ingest", "dispatcher-1", "dispatcher-2", "monitor", "runner-1", "runner-2")
SLOTS = 4
MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["up", "services"])
def doubled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product with four slots: two runners' and two dispatchers, or all in one process."""
    env = {"RUNNER_SLOTS": str(SLOTS)}
    if request.param == "services":
        env = {
            "RUNNER_SLOTS": str(SLOTS // 2),
            "BROKER_URL": fresh_vhost(request.getfixturevalue("rabbitmq_url")),
            "STORE_URL": fresh_database(request.getfixturevalue("postgres_url")),
        }
    with running(request.param, tmp_path_factory.mktemp(request.param), env, SERVICES) as started:
        yield started


@pytest.fixture(scope="module")
def scheduler(doubled: Stack) -> Iterator[api_grpc.SchedulerStub]:
    """A client of it."""
    with doubled.client() as connected:
        yield connected


def ended_right(uneven: Uneven) -> None:
    """Whether it succeeded, with every element once, and each chunk at the attempt that was to count."""
    assert uneven.final.state == api.TASK_STATE_SUCCEEDED, uneven.final
    assert uneven.final.chunks_succeeded == len(uneven.chunks)
    assert uneven.final.chunks_running == uneven.final.chunks_ready == 0
    assert uneven.right
    attempts = {chunk.chunk_index: chunk.attempt for chunk in uneven.chunks}
    assert all(attempts[index] > 1 for index in uneven.failed_once)
    assert attempts[uneven.hangs] > 1


def test_chunks_that_fail_and_one_that_hangs_harm_nothing(scheduler: api_grpc.SchedulerStub) -> None:
    uneven = run_uneven(scheduler, chunks=600, seconds=0.01)

    ended_right(uneven)
    retried = {chunk.chunk_index for chunk in uneven.chunks if chunk.attempt > 1}
    assert {*uneven.failed_once, uneven.hangs} <= retried
    # The attempt that hung was killed: all slots are free for others.
    assert four_at_a_time(scheduler) < 2 * 3.0


def four_at_a_time(client: api_grpc.SchedulerStub) -> float:
    """How long as many chunks as there are slots take that need three seconds each."""
    task = api.Task(data="python:import time; time.sleep(3)", split=api.Split(chunks=SLOTS))
    *_, last = client.RunTask(api.RunTaskRequest(task=task), timeout=60)
    return (last.status.finished_at.ToNanoseconds() - last.status.started_at.ToNanoseconds()) / 1e9


def test_a_task_of_many_chunks_holds_up_nobody(scheduler: api_grpc.SchedulerStub) -> None:
    seconds = 1.0
    with many_chunks(scheduler, 100_000, seconds) as task_id:
        waits = measure_waits(scheduler, singles=10)
        big = scheduler.GetTask(api.GetTaskRequest(task_id=task_id), timeout=10).task

    assert big.state == api.TASK_STATE_RUNNING
    assert big.chunks_running + big.chunks_ready <= SLOTS + 1
    assert max(waits.at_once + waits.one_by_one) < 2 * seconds
    assert max(waits.high) < seconds


def test_no_service_grows_with_the_chunks(doubled: Stack, scheduler: api_grpc.SchedulerStub) -> None:
    def run(chunks: int) -> None:
        task = api.Task(data="python:pass", split=api.Split(chunks=chunks))
        *_, last = scheduler.RunTask(api.RunTaskRequest(task=task), timeout=100)
        assert last.status.state == api.TASK_STATE_SUCCEEDED

    run(300)
    before = resident_bytes(doubled)
    run(1000)
    grown = {name: held - before[name] for name, held in resident_bytes(doubled).items()}

    assert max(grown.values()) < 8 * MIB, grown


@pytest.mark.timeout(180)
def test_a_dispatcher_and_a_runner_that_are_killed_harm_nothing(
    doubled: Stack, scheduler: api_grpc.SchedulerStub
) -> None:
    if doubled.kind == "up":
        pytest.skip("there is only one process")
    task = uneven_task(chunks=400, seconds=0.05)
    submitted = scheduler.SubmitTask(api.SubmitTaskRequest(task=task), timeout=10)
    for event in scheduler.WatchTask(api.WatchTaskRequest(task_id=submitted.task_id), timeout=60):
        if event.status.chunks_succeeded >= 20:
            break

    doubled.stop("runner-1", signal.SIGKILL)
    doubled.stop("dispatcher-1", signal.SIGKILL)

    uneven = ended(scheduler, submitted.task_id, hangs=200)
    ended_right(uneven)
    survivors = {chunk.runner for chunk in uneven.chunks}
    assert len(survivors) == 2
    doubled.start("runner-1")
    doubled.start("dispatcher-1")
