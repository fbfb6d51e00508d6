"""Cuts that make no sense are refused by their field; chunks and reduces that end badly leave a clear account."""

import json
import signal
import urllib.error
import urllib.request
import uuid

import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack
from tests.e2e.test_bad_input import fields, refused

GOOD = "python:print(1)"
FOUR = api.Range(stop=4)


def ended(client: api_grpc.SchedulerStub, task: api.Task) -> api.TaskStatus:
    """The task's final state."""
    *_, last = client.RunTask(api.RunTaskRequest(task=task), timeout=60)
    return last.status


@pytest.mark.parametrize(
    ("split", "field", "said"),
    [
        (api.Split(lines=b""), "task.split.lines", "at least one line"),
        (api.Split(items=api.Items()), "task.split.items", "at least one JSON value"),
        (api.Split(items=api.Items(json=["{"])), "task.split.items.json[0]", "not one JSON value"),
        (api.Split(range=api.Range(start=4, stop=4)), "task.split.range", "has no numbers"),
        (api.Split(range=api.Range(start=9, stop=0)), "task.split.range", "has no numbers"),
        (api.Split(chunks=4, range=FOUR, min_succeeded=5), "task.split.min_succeeded", "at most 4 chunks"),
        (api.Split(chunks=9, range=FOUR, min_succeeded=5), "task.split.min_succeeded", "at most 4 chunks"),
        (api.Split(range=FOUR, reduce="cobol:DISPLAY 1"), "task.split.reduce", "python:, go:"),
        (api.Split(range=FOUR, reduce="print(1)"), "task.split.reduce", "prefix"),
    ],
)
def test_a_cut_that_cannot_be_made_is_refused(
    client: api_grpc.SchedulerStub, split: api.Split, field: str, said: str
) -> None:
    error = refused(client, api.Task(data=GOOD, split=split))

    assert field in fields(error)
    assert said in error.details()


@pytest.mark.parametrize(
    "split",
    [{"lines": "YQo=", "range": {"stop": "4"}}, {"chunks": -1}, {"chunks": 1.5}, {"range": {"stop": "many"}}, 5],
)
def test_json_that_is_no_split_is_a_400(stack: Stack, split: object) -> None:
    body = json.dumps({"data": GOOD, "split": split}).encode()
    request = urllib.request.Request(f"http://{stack.http_address}/submit-task", data=body, method="POST")

    with pytest.raises(urllib.error.HTTPError) as answer, urllib.request.urlopen(request, timeout=10):
        pass

    assert answer.value.code == 400
    answer.value.close()


def test_more_chunks_than_elements_are_as_many_as_elements(client: api_grpc.SchedulerStub) -> None:
    final = ended(client, api.Task(data=GOOD, split=api.Split(chunks=100_000, range=FOUR)))

    assert (final.chunk_count, final.result.stdout) == (4, "1\n" * 4)


@pytest.mark.parametrize("split", [api.Split(), api.Split(lines=b"\n")])
def test_nothing_to_share_out_is_one_chunk(client: api_grpc.SchedulerStub, split: api.Split) -> None:
    final = ended(client, api.Task(data="python:import sys; print(repr(sys.stdin.read()))", split=split))

    assert (final.chunk_count, final.result.stdout) == (1, f"{split.lines.decode()!r}\n")


@pytest.mark.parametrize(
    ("reduce", "outcome", "stderr"),
    [
        ("python:raise SystemExit('no sum')", api.OUTCOME_FAILED, "no sum"),
        pytest.param("go:package main", api.OUTCOME_COMPILE_FAILED, "main", marks=pytest.mark.strict),
    ],
)
def test_a_reduce_that_fails_fails_the_task(
    client: api_grpc.SchedulerStub, reduce: str, outcome: int, stderr: str
) -> None:
    final = ended(client, api.Task(data=GOOD, split=api.Split(chunks=4, reduce=reduce)))

    assert (final.state, final.result.outcome) == (api.TASK_STATE_FAILED, outcome)
    assert stderr in final.result.stderr
    assert (final.chunks_succeeded, final.chunks_failed) == (4, 0)
    # Only the reduce runs again.
    assert client.RetryTask(api.RetryTaskRequest(task_id=final.task_id), timeout=10).chunks == 1


def test_a_chunk_that_always_fails_fails_the_task_after_its_attempts(client: api_grpc.SchedulerStub) -> None:
    code = "python:import os; print(os.environ['CHUNK_INDEX']); raise SystemExit(os.environ['CHUNK_INDEX'] == '2')"
    task = api.Task(data=code, split=api.Split(chunks=5))
    task.retry.max_attempts = 3
    task.retry.backoff.FromMilliseconds(20)

    final = ended(client, task)

    assert (final.state, final.result.outcome) == (api.TASK_STATE_FAILED, api.OUTCOME_FAILED)
    assert (final.chunks_succeeded, final.chunks_failed) == (4, 1)
    assert list(final.result.missing_chunks) == [2]
    failed = client.ListChunks(api.ListChunksRequest(task_id=final.task_id, outcomes=[api.OUTCOME_FAILED]), timeout=10)
    assert [(chunk.chunk_index, chunk.attempt) for chunk in failed.chunks] == [(2, 3)]


def test_one_bad_part_sinks_no_task_that_can_do_without(client: api_grpc.SchedulerStub) -> None:
    code = "python:import os; print(os.environ['CHUNK_INDEX']); raise SystemExit(os.environ['CHUNK_INDEX'] == '2')"
    counting = "python:import sys; print(len(sys.stdin.readlines()))"

    final = ended(client, api.Task(data=code, split=api.Split(chunks=5, min_succeeded=4)))
    reduced = ended(client, api.Task(data=code, split=api.Split(chunks=5, min_succeeded=4, reduce=counting)))

    assert (final.state, final.result.stdout) == (api.TASK_STATE_SUCCEEDED, "0\n1\n3\n4\n")
    assert list(final.result.missing_chunks) == [2]
    assert (reduced.state, reduced.result.stdout) == (api.TASK_STATE_SUCCEEDED, "4\n")


def test_cancelling_what_has_finished_changes_nothing(client: api_grpc.SchedulerStub) -> None:
    final = ended(client, api.Task(data=GOOD, split=api.Split(chunks=3)))

    answer = client.CancelTask(api.CancelTaskRequest(task_id=final.task_id), timeout=10)

    assert not answer.cancelled
    again = client.GetTask(api.GetTaskRequest(task_id=final.task_id), timeout=10).task
    assert (again.state, again.result.stdout) == (api.TASK_STATE_SUCCEEDED, "1\n" * 3)


def test_cancelling_ends_every_chunk_and_is_told_to_who_watches(client: api_grpc.SchedulerStub) -> None:
    task = api.Task(task_id=f"many-{uuid.uuid4().hex}", data="python:import time; time.sleep(50)")
    task.split.chunks = 1000
    events = client.RunTask(api.RunTaskRequest(task=task), timeout=40)
    for event in events:
        if event.status.chunks_running:
            break

    assert client.CancelTask(api.CancelTaskRequest(task_id=task.task_id), timeout=10).cancelled

    *_, last = events
    assert last.status.state == api.TASK_STATE_CANCELLED
    assert last.status.chunks_running == last.status.chunks_ready == 0
    # The slots are free at once: what comes now does not wait for the end of a sleep.
    assert ended(client, api.Task(data=GOOD)).result.stdout == "1\n"


@pytest.mark.timeout(180)
def test_a_chunk_whose_runners_all_die_is_given_up(stack: Stack, client: api_grpc.SchedulerStub) -> None:
    if stack.kind != "services":
        pytest.skip("its only process would die, or is not ours to kill")
    code = "print(os.environ['ATTEMPT'], flush=True); time.sleep(50 * int(os.environ['CHUNK_INDEX']))"
    task = api.Task(data=f"python:import os, time; {code}", split=api.Split(chunks=2))
    killed = []
    for event in client.RunTask(api.RunTaskRequest(task=task), timeout=120):
        if event.HasField("output") and event.output.chunk_index == 1:
            killed.append(event.output.text)
            stack.stop("runner", signal.SIGKILL)
            stack.start("runner")

    assert killed == ["1\n", "2\n", "3\n"]
    assert (event.status.state, event.status.result.outcome) == (api.TASK_STATE_FAILED, api.OUTCOME_LOST)
    assert "3 runners died" in event.status.result.reason
    assert (event.status.chunks_succeeded, event.status.chunks_failed) == (1, 1)
