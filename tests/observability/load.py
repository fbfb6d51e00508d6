"""Work of every kind for a running product: what succeeds, each way to fail, a split with a straggler, large input."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import grpc
import httpx
from google.protobuf.duration_pb2 import Duration

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack

PRIORITIES = ("low", "normal", "high", "critical")
STRAGGLER = (
    "python:import os, time\nif os.environ['CHUNK_INDEX'] == '3' and os.environ['ATTEMPT'] == '1': time.sleep(60)"
)


def run_everything(stack: Stack) -> list[api.TaskStatus]:
    """Submit the work and wait for the end of every task; their final states."""
    with stack.client() as client:
        refuse(client)
        with ThreadPoolExecutor(8) as threads:
            ends = list(threads.map(lambda task: run(client, task), [*tasks(), *large(stack)]))
    with httpx.Client(base_url=f"http://{stack.http_address}") as http:
        http.get(f"/tasks/{ends[-1].task_id}/stdout").raise_for_status()
    return ends


def tasks() -> Iterator[api.Task]:
    """What fits into messages."""
    source = f'package main\nfunc main() {{ println("{uuid4()}") }}'
    for priority in PRIORITIES:
        yield api.Task(data="python:print(6 * 7)", priority=priority)
    yield api.Task(data="bash:echo hello")
    yield api.Task(data=f"go:{source}")
    yield api.Task(data=f"go:{source}")
    yield api.Task(data="go:this is no Go")
    yield api.Task(data="python:raise SystemExit(3)")
    yield api.Task(data="python:1/0", retry=api.Retry(max_attempts=2, backoff=Duration(nanos=1_000_000)))
    yield api.Task(data="python:while True: pass", limits=api.Limits(timeout=Duration(nanos=300_000_000)))
    yield api.Task(data=STRAGGLER, strategy="split", split=api.Split(chunks=4))


def large(stack: Stack) -> Iterable[api.Task]:
    """What needs a blob."""
    uploaded = httpx.put(f"http://{stack.http_address}/blobs", content=uuid4().bytes * 40_000).raise_for_status()
    return [
        api.Task(data="python:import sys; print(len(sys.stdin.buffer.read()))", stdin_blob=uploaded.json()["sha256"])
    ]


def run(client: api_grpc.SchedulerStub, task: api.Task) -> api.TaskStatus:
    """Submit the task and wait for its end."""
    *_, last = client.RunTask(api.RunTaskRequest(task=task), timeout=90)
    status: api.TaskStatus = last.status
    return status


def refuse(client: api_grpc.SchedulerStub) -> None:
    """Submit what is no task."""
    try:
        client.SubmitTask(api.SubmitTaskRequest(task=api.Task(data="nothing")))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined] # noqa: PT017
