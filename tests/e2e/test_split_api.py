"""A task that is cut, over the API, as its users see it: while it runs, afterwards, and when it is retried."""

import json
import time
import urllib.error
import urllib.request
import uuid

import grpc
import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack

FAILS_ONCE = "python:import os; raise SystemExit(os.environ['CHUNK_INDEX'] == '2' and os.environ['ATTEMPT'] == '1')"


def run(client: api_grpc.SchedulerStub, **task: object) -> list[api.RunTaskResponse]:
    """All that happens to a task."""
    name = f"split-{uuid.uuid4().hex}"
    return list(client.RunTask(api.RunTaskRequest(task=api.Task(task_id=name, **task)), timeout=60))


def http(stack: Stack, method: str, path: str) -> tuple[int, dict[str, object]]:
    """The answer to an HTTP call."""
    request = urllib.request.Request(f"http://{stack.http_address}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_the_output_of_each_chunk_comes_under_its_index(client: api_grpc.SchedulerStub) -> None:
    split = api.Split(chunks=4, lines=b"a\nb\nc\nd\n")
    events = run(client, data="python:import sys; print(sys.stdin.read().strip() * 2)", split=split)

    live = {event.output.chunk_index: event.output.text for event in events if event.HasField("output")}
    assert live == {0: "aa\n", 1: "bb\n", 2: "cc\n", 3: "dd\n"}
    assert events[-1].status.result.stdout == "aa\nbb\ncc\ndd\n"


def test_progress_is_told_while_it_runs_and_not_for_every_chunk(client: api_grpc.SchedulerStub) -> None:
    started = time.monotonic()
    events = run(client, data="python:import time; time.sleep(0.15)", split=api.Split(chunks=30))
    seconds = time.monotonic() - started

    told = [event.status for event in events if event.HasField("status")]
    under_way = [status for status in told if status.state == api.TASK_STATE_RUNNING and status.chunks_succeeded]
    assert under_way, told
    assert all(status.chunk_count == 30 for status in under_way)
    # Between two chunks a slot's next one is not yet seen to run.
    assert any(status.chunks_running for status in under_way)
    # Accepted, started and ended, and one a second between.
    assert len(told) <= 4 + seconds
    assert (told[-1].state, told[-1].chunks_succeeded) == (api.TASK_STATE_SUCCEEDED, 30)


def test_only_the_chunk_that_failed_runs_again(stack: Stack, client: api_grpc.SchedulerStub) -> None:
    final = run(client, data=FAILS_ONCE, split=api.Split(chunks=5))[-1].status
    task_id = final.task_id
    assert (final.state, final.chunks_failed) == (api.TASK_STATE_FAILED, 1)
    assert list(final.result.missing_chunks) == [2]
    failed = client.ListChunks(api.ListChunksRequest(task_id=task_id, outcomes=[api.OUTCOME_FAILED]), timeout=10)
    assert [chunk.chunk_index for chunk in failed.chunks] == [2]

    code, answer = http(stack, "POST", f"/tasks/{task_id}/retry")

    assert (code, answer["chunks"]) == (200, 1)
    ended = list(client.WatchTask(api.WatchTaskRequest(task_id=task_id), timeout=60))[-1].status
    assert (ended.state, ended.chunks_succeeded) == (api.TASK_STATE_SUCCEEDED, 5)
    first = client.ListChunks(api.ListChunksRequest(task_id=task_id, page_size=3), timeout=10)
    rest = client.ListChunks(api.ListChunksRequest(task_id=task_id, page_token=first.next_page_token), timeout=10)
    chunks = [*first.chunks, *rest.chunks]
    assert [chunk.chunk_index for chunk in chunks] == [0, 1, 2, 3, 4]
    assert [chunk.attempt for chunk in chunks] == [1, 1, 2, 1, 1]
    assert rest.next_page_token == ""
    code, listed = http(stack, "GET", f"/tasks/{task_id}/chunks?state=finished&outcome=succeeded&page_size=2")
    assert (code, len(listed["chunks"])) == (200, 2)


def test_what_succeeded_or_runs_is_not_retried(stack: Stack, client: api_grpc.SchedulerStub) -> None:
    task_id = run(client, data="python:pass")[-1].status.task_id
    with pytest.raises(grpc.RpcError) as refused:
        client.RetryTask(api.RetryTaskRequest(task_id=task_id), timeout=10)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "has succeeded" in refused.value.details()
    code, answer = http(stack, "POST", f"/tasks/{task_id}/retry")
    assert (code, "has succeeded" in str(answer["message"])) == (409, True)

    slow = client.SubmitTask(
        api.SubmitTaskRequest(task=api.Task(data="python:import time; time.sleep(30)")), timeout=10
    )
    with pytest.raises(grpc.RpcError) as too_early:
        client.RetryTask(api.RetryTaskRequest(task_id=slow.task_id), timeout=10)
    client.CancelTask(api.CancelTaskRequest(task_id=slow.task_id), timeout=10)
    assert too_early.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "wait for its end" in too_early.value.details()


@pytest.mark.parametrize(("method", "path"), [("GET", "/tasks/nobody/chunks"), ("POST", "/tasks/nobody/retry")])
def test_an_unknown_task_has_no_chunks_and_no_retry(stack: Stack, method: str, path: str) -> None:
    assert http(stack, method, path)[0] == 404


@pytest.mark.parametrize("query", ["state=done", "page_size=1001", "page_token=x", "size=3"])
def test_a_wrong_query_for_chunks_is_a_400(stack: Stack, query: str) -> None:
    assert http(stack, "GET", f"/tasks/nobody/chunks?{query}")[0] == 400


def test_a_stream_of_tasks_runs_them_all(client: api_grpc.SchedulerStub) -> None:
    group = uuid.uuid4().hex
    tasks = [api.Task(data=f"python:print({n})", labels={"group": group}) for n in range(50)]

    answers = [
        one.answer for one in client.StreamTasks(iter([api.StreamTasksRequest(task=t) for t in tasks]), timeout=60)
    ]

    assert all(answer.success for answer in answers)
    for place, answer in enumerate(answers):
        last = list(client.WatchTask(api.WatchTaskRequest(task_id=answer.task_id), timeout=60))[-1]
        assert last.status.result.stdout == f"{place}\n"
