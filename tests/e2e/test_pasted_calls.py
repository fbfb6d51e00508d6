"""The calls that people paste, as real clients make them: by reflection over gRPC, and by curl."""

import json
import subprocess
import time
import uuid
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack

EXAMPLES = Path(__file__).parents[2] / "examples"
#: The last digits of pi's first 1,000 decimals.
LAST_DECIMALS = "2164201989"


def grpcurl(stack: Stack, method: str, text: str) -> dict[str, object]:
    """What grpcurl does: learn the message types from the server, then send JSON and read JSON."""
    with stack.channel() as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName("scheduler.Scheduler")
        found = service.methods_by_name[method]
        request = json_format.Parse(text, GetMessageClass(found.input_type)())
        call = channel.unary_unary(
            f"/scheduler.Scheduler/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )
        answer: dict[str, object] = json_format.MessageToDict(call(request, timeout=30))
        return answer


def curl(stack: Stack, path: str, body: str) -> tuple[int, dict[str, object]]:
    """`curl -X POST … -d …`, with curl's own content type."""
    url = f"http://{stack.http_address}{path}"
    command = ["curl", "-sS", "-X", "POST", url, "-d", body, "-w", "\n%{http_code}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answer, _, code = said.rpartition("\n")
    return int(code), json.loads(answer)


def finished(client: api_grpc.SchedulerStub, task_id: str) -> api.TaskStatus:
    """The task once it has reached its final state."""
    last = list(client.WatchTask(api.WatchTaskRequest(task_id=task_id), timeout=100))[-1]
    return last.status


@pytest.mark.strict
def test_pi_in_go_by_reflection(stack: Stack, client: api_grpc.SchedulerStub) -> None:
    code = "go:" + (EXAMPLES / "pi_nilakantha.go").read_text()
    task = json.dumps({"task": {"task_id": "pi_go_2", "priority": "high", "data": code}})

    answer = grpcurl(stack, "SubmitTask", task)

    assert answer["success"] is True
    assert answer["message"] == "Task pi_go_2 submitted successfully"
    result = finished(client, "pi_go_2").result
    assert result.stdout.strip() == "3.1172378336938116", result


def test_a_thousand_decimals_of_pi_in_python(stack: Stack, client: api_grpc.SchedulerStub) -> None:
    task_id = f"pi-{uuid.uuid4().hex}"
    code = "python:" + (EXAMPLES / "pi.py").read_text()

    grpcurl(stack, "SubmitTask", json.dumps({"task": {"task_id": task_id, "data": code}}))

    digits = finished(client, task_id).result.stdout.strip()
    assert digits.startswith("3.14159265358979")
    assert len(digits) == len("3.") + 1000
    assert digits.endswith(LAST_DECIMALS)


def test_curl_without_a_language_prefix_is_told_which_there_are(stack: Stack) -> None:
    code, answer = curl(stack, "/submit-task", '{"task_id": "123", "priority": "high", "data": "task details"}')

    assert code == 400
    assert "prefix" in str(answer["message"])
    assert "python:" in str(answer["message"])
    assert "go:" in str(answer["message"])


@pytest.mark.parametrize("body", ['{"task": %s}', "%s"])
def test_curl_with_a_language_prefix_is_accepted(stack: Stack, client: api_grpc.SchedulerStub, body: str) -> None:
    task: dict[str, object] = {"task_id": "123", "priority": "high", "data": "python:print(1)"}

    code, answer = curl(stack, "/submit-task", body % json.dumps(task))

    assert code == 200, answer
    assert answer == {"success": True, "message": "Task 123 submitted successfully", "task_id": "123"}
    assert finished(client, "123").result.stdout == "1\n"


def test_health_says_serving(stack: Stack) -> None:
    with stack.channel() as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="scheduler.Scheduler"), timeout=10
        )

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_run_task_streams_output_and_ends_with_the_result(client: api_grpc.SchedulerStub) -> None:
    code = "python:import time\nprint('one', flush=True)\ntime.sleep(0.5)\nprint('two')"
    events = list(client.RunTask(api.RunTaskRequest(task=api.Task(data=code)), timeout=60))

    assert events[0].submitted.success
    assert "".join(event.output.text for event in events if event.HasField("output")) == "one\ntwo\n"
    assert events[-1].status.state == api.TASK_STATE_SUCCEEDED
    assert events[-1].status.result.stdout == "one\ntwo\n"


def test_a_running_task_is_cancelled_within_a_second(client: api_grpc.SchedulerStub) -> None:
    events = client.RunTask(api.RunTaskRequest(task=api.Task(data="python:import time; time.sleep(60)")), timeout=30)
    task_id = next(events).submitted.task_id
    running = next(e for e in events if e.HasField("status") and e.status.state == api.TASK_STATE_RUNNING)

    asked_at = time.monotonic()
    answer = client.CancelTask(api.CancelTaskRequest(task_id=task_id), timeout=10)

    assert running.status.task_id == task_id
    assert answer.cancelled
    last = list(events)[-1].status
    assert last.state == api.TASK_STATE_CANCELLED
    # A busy machine gets ten times as long.
    assert time.monotonic() - asked_at < 10


def test_unknown_task_is_not_found(client: api_grpc.SchedulerStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.GetTask(api.GetTaskRequest(task_id="no-such-task"), timeout=10)

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
