"""Bad input gets a clear error that names the field, and bad code a clear outcome; the service lives on."""

import urllib.error
import urllib.request
import uuid

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack

GOOD = "python:print(1)"


def refused(client: api_grpc.SchedulerStub, task: api.Task) -> grpc.RpcError:
    """The status that submitting the task is answered with; the service accepts others right after."""
    with pytest.raises(grpc.RpcError) as caught:
        client.SubmitTask(api.SubmitTaskRequest(task=task), timeout=10)
    assert client.SubmitTask(api.SubmitTaskRequest(task=api.Task(data=GOOD)), timeout=10).success
    return caught.value


def fields(error: grpc.RpcError) -> list[str]:
    """The fields that the error's BadRequest names."""
    status = rpc_status.from_call(error)
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    return [violation.field for violation in bad.field_violations]


@pytest.mark.parametrize(
    ("task", "field", "said"),
    [
        (api.Task(data=GOOD, priority="urgent"), "task.priority", "low, normal, high, critical"),
        (api.Task(data="cobol:DISPLAY 1"), "task.data", "python:, go:"),
        (api.Task(data=GOOD, strategy="both"), "task.strategy", "batch, split"),
        (api.Task(data=""), "task.data", "is empty"),
        (api.Task(data="print(1)"), "task.data", "prefix"),
        (api.Task(data="python:"), "task.data", "no code"),
        (api.Task(data=GOOD, task_id="x" * 129), "task.task_id", "128"),
        (api.Task(data=GOOD, task_id="a b/c#*"), "task.task_id", "characters out of"),
        (api.Task(data="python:" + "#" * 2_000_000), "task.data", "at most"),
        (api.Task(data="python:print('\0')"), "task.data", "NUL"),
        (api.Task(data=GOOD, env={"LD_PRELOAD": "x"}), "task.env", "LD_PRELOAD"),
        (api.Task(data=GOOD, pool="No Pool"), "task.pool", "a-z"),
        (api.Task(data=GOOD, strategy="batch", split=api.Split()), "task.strategy", "leave one of them out"),
        (api.Task(data=GOOD, split=api.Split(chunks=2**32 - 1)), "task.split.chunks", "at most"),
        (api.Task(data=GOOD, split=api.Split(range=api.Range(stop=9, step=0))), "task.split.range.step", "is 0"),
        (api.Task(data=GOOD, retry=api.Retry(max_attempts=-1)), "task.retry.max_attempts", "1 to 100"),
        (api.Task(data=GOOD, deadline=Timestamp(seconds=1)), "task.deadline", "has passed"),
        (api.Task(data=GOOD, not_before=Timestamp(seconds=2**33)), "task.not_before", "366 days"),
    ],
)
def test_bad_field_is_named_with_what_is_allowed(
    client: api_grpc.SchedulerStub, task: api.Task, field: str, said: str
) -> None:
    error = refused(client, task)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in fields(error)
    assert said in error.details()


@pytest.mark.parametrize("method", ["SubmitTask", "RunTask"])
def test_text_that_is_not_utf8_is_refused_by_its_field(
    stack: Stack, client: api_grpc.SchedulerStub, method: str
) -> None:
    task = api.SubmitTaskRequest(task=api.Task(data="python:print('?')")).SerializeToString().replace(b"?", b"\xff")

    with stack.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream(f"/scheduler.Scheduler/{method}")(task, timeout=10))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields(caught.value) == ["task.data"]
    assert client.SubmitTask(api.SubmitTaskRequest(task=api.Task(data=GOOD)), timeout=10).success


@pytest.mark.parametrize("query", ["state=asleep", "label=nothing", "priority=urgent", "page_size=-1", "page_token=x"])
def test_a_list_that_cannot_be_made_is_a_400(stack: Stack, query: str) -> None:
    url = f"http://{stack.http_address}/tasks?{query}"

    with pytest.raises(urllib.error.HTTPError) as answer, urllib.request.urlopen(url, timeout=10):
        pass

    assert answer.value.code == 400
    said = answer.value.read().decode()
    answer.value.close()
    assert query.partition("=")[0] in said


def test_a_state_that_there_is_not_is_refused(client: api_grpc.SchedulerStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.ListTasks(api.ListTasksRequest(states=[99]), timeout=10)  # type: ignore[list-item]

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields(caught.value) == ["states"]


def test_a_limit_out_of_range_is_refused_by_its_field(client: api_grpc.SchedulerStub) -> None:
    error = refused(client, api.Task(data=GOOD, limits=api.Limits(disk_bytes=1)))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "task.limits.disk_bytes" in error.details()


def test_same_id_same_content_succeeds_again_and_other_content_does_not(client: api_grpc.SchedulerStub) -> None:
    task = api.Task(task_id=f"twice-{uuid.uuid4().hex}", data=GOOD)
    client.SubmitTask(api.SubmitTaskRequest(task=task), timeout=10)

    assert client.SubmitTask(api.SubmitTaskRequest(task=task), timeout=10).success
    task.data = "python:print(2)"
    assert refused(client, task).code() is grpc.StatusCode.ALREADY_EXISTS


def test_one_bad_task_sinks_no_other(client: api_grpc.SchedulerStub) -> None:
    tasks = [api.Task(data=GOOD), api.Task(data="nothing"), api.Task(data=GOOD)]

    answers = client.SubmitTasks(api.SubmitTasksRequest(tasks=tasks), timeout=10).answers

    assert [answer.success for answer in answers] == [True, False, True]
    assert answers[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.mark.parametrize("body", [b"not json", b'{"data": "python:\xff"}', b"[]", b'{"dta": "python:print(1)"}', b""])
def test_http_body_that_is_no_task_is_a_400(stack: Stack, body: bytes) -> None:
    request = urllib.request.Request(f"http://{stack.http_address}/submit-task", data=body, method="POST")

    with pytest.raises(urllib.error.HTTPError) as answer, urllib.request.urlopen(request, timeout=10):
        pass

    assert answer.value.code == 400
    answer.value.close()


@pytest.mark.parametrize(
    ("code", "outcome", "exit_code"),
    [
        ("import sys; sys.stdout.write('x' * 100_000_000)", api.OUTCOME_OUTPUT_LIMIT, None),
        ("while True: print('y' * 10000)", api.OUTCOME_OUTPUT_LIMIT, None),
        ("import time; time.sleep(60)", api.OUTCOME_TIMED_OUT, None),
        ("raise SystemExit(7)", api.OUTCOME_FAILED, 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", api.OUTCOME_KILLED, 139),
        pytest.param(
            "import os, time\nif os.fork() == 0:\n os.setsid()\n time.sleep(1000)",
            api.OUTCOME_SUCCEEDED,
            0,
            marks=pytest.mark.strict,
        ),
        ("import os; os.close(1); os.close(2)", api.OUTCOME_SUCCEEDED, 0),
        ("import sys; raise SystemExit(len(sys.stdin.read()))", api.OUTCOME_SUCCEEDED, 0),
    ],
)
def test_bad_code_ends_with_its_outcome(
    client: api_grpc.SchedulerStub, code: str, outcome: int, exit_code: int | None
) -> None:
    task = api.Task(data=f"python:{code}")
    task.limits.timeout.FromSeconds(5)

    result = list(client.RunTask(api.RunTaskRequest(task=task), timeout=60))[-1].status.result

    assert result.outcome == outcome, result.reason
    if exit_code is not None:
        assert result.exit_code == exit_code
    if outcome != api.OUTCOME_SUCCEEDED:
        assert result.reason
    assert len(result.stdout) <= 1024 * 1024
