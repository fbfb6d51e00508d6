"""`explain` names the cause of whatever keeps a task waiting or ended it; each cause is planted for real."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import grpc
import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.command_line import CommandLine
from tests.e2e.stack import Stack

PATIENCE_SECONDS = 40.0
SLEEPS = "python:import time; time.sleep(100)"
#: Tasks that end, and the code of the reason that must come first.
ENDS = {
    "EXIT_CODE": {"data": "python:import sys; print('no such file', file=sys.stderr); sys.exit(3)"},
    "COMPILE_FAILED": {"data": "go:package main\nfunc main() { undefined() }"},
    "TIMED_OUT": {"data": SLEEPS, "limits": {"timeout": {"seconds": 1}}},
    "OUT_OF_MEMORY": {"data": "python:x = bytearray(200_000_000)", "limits": {"memory_bytes": 64 * 2**20}},
    "OUTPUT_LIMIT": {"data": "python:print('x' * 100_000)", "limits": {"output_bytes": 1000}},
    "KILLED": {"data": "python:import os; os.kill(os.getpid(), 11)"},
    "CHUNKS_MISSING": {
        "data": "python:import os; raise SystemExit(os.environ['CHUNK_INDEX'] in ('1', '3'))",
        "split": {"chunks": 5, "min_succeeded": 4},
    },
    "REDUCE_FAILED": {"data": "python:print(1)", "split": {"chunks": 2, "reduce": "python:raise SystemExit(1)"}},
    "SUCCEEDED": {"data": "python:print(1)"},
}
#: What the headline has to tell besides.
TOLD = {
    "EXIT_CODE": "exited with code 3",
    "COMPILE_FAILED": "undefined: undefined",
    "TIMED_OUT": "the task asked for 1 s",
    "OUT_OF_MEMORY": "the task asked for 64 MiB",
    "OUTPUT_LIMIT": "the task asked for 1000 bytes",
    "KILLED": "SIGSEGV",
    "CHUNKS_MISSING": "2 of 5 chunks did not succeed (1, 3); 4 had to",
    "REDUCE_FAILED": "its reduce did not",
    "SUCCEEDED": "waited",
}


def submit(client: api_grpc.SchedulerStub, **task: object) -> str:
    """Submit the task; its id."""
    request = api.SubmitTaskRequest(task=api.Task(**task))  # type: ignore[arg-type]
    return str(client.SubmitTask(request, timeout=30).task_id)


def explained(client: api_grpc.SchedulerStub, task_id: str, code: str) -> api.Explanation:
    """The explanation as soon as it gives a reason of this code; how far the task is tells nothing but asking."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = client.ExplainTask(api.ExplainTaskRequest(task_id=task_id), timeout=30).explanation
        if code in codes(answer):
            return answer
        assert time.monotonic() < until, answer


def codes(explanation: api.Explanation) -> list[str]:
    """The codes of its reasons."""
    return [api.ReasonCode.Name(reason.code).removeprefix("REASON_CODE_") for reason in explanation.reasons]


def ended(client: api_grpc.SchedulerStub, task_id: str) -> None:
    """Return when the task has reached its final state."""
    list(client.WatchTask(api.WatchTaskRequest(task_id=task_id), timeout=100))


def ahead(**offset: float) -> Timestamp:
    """An instant that is so far ahead."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) + timedelta(**offset))
    return stamp


@contextmanager
def busy(client: api_grpc.SchedulerStub) -> Iterator[list[str]]:
    """Both slots are taken while the context lasts."""
    sleepers = [submit(client, data=SLEEPS, priority="critical") for _ in range(2)]
    try:
        for task_id in sleepers:
            explained(client, task_id, "RUNNING")
        yield sleepers
    finally:
        for task_id in sleepers:
            client.CancelTask(api.CancelTaskRequest(task_id=task_id), timeout=30)


@pytest.mark.parametrize(
    "code", [pytest.param(code, marks=[pytest.mark.strict] if code == "COMPILE_FAILED" else []) for code in ENDS]
)
def test_how_a_task_ended_is_named(client: api_grpc.SchedulerStub, code: str) -> None:
    task_id = submit(client, **ENDS[code])
    ended(client, task_id)
    explanation = explained(client, task_id, code)
    assert codes(explanation)[0] == code
    assert TOLD[code] in explanation.headline
    assert explanation.todo


def test_what_is_ahead_and_how_busy_the_slots_are_is_named(client: api_grpc.SchedulerStub) -> None:
    with busy(client):
        waiting = [submit(client, data="python:pass", priority=word) for word in ("high", "normal", "normal", "low")]
        last = explained(client, waiting[-1], "SLOTS_BUSY")
        assert codes(last) == ["PRIORITY", "SLOTS_BUSY"]
        assert "3 more urgent tasks are ahead of it (1 high, 2 normal)" in last.headline
        assert last.position == 4
        second = explained(client, waiting[2], "SLOTS_BUSY")
        assert codes(second) == ["PRIORITY", "EARLIER", "SLOTS_BUSY"]
        first = explained(client, waiting[0], "SLOTS_BUSY")
        assert (codes(first), first.position) == (["SLOTS_BUSY"], 1)
        assert "2 slots on 1 runner, none of them free" in first.headline
    for task_id in waiting:
        ended(client, task_id)


def test_a_pool_without_runners_is_named_and_a_pool_that_has_some(client: api_grpc.SchedulerStub) -> None:
    explanation = explained(client, submit(client, data="python:pass", pool="nobody"), "NO_RUNNERS")
    assert codes(explanation) == ["NO_RUNNERS"]
    assert "no runner of pool 'nobody'" in explanation.headline
    assert "--pool default" in explanation.todo[0]
    client.CancelTask(api.CancelTaskRequest(task_id=explanation.task_id), timeout=30)


def test_a_start_that_is_not_due_and_a_deadline_are_named(client: api_grpc.SchedulerStub) -> None:
    task_id = submit(client, data="python:pass", not_before=ahead(hours=1), deadline=ahead(hours=2))
    assert codes(explained(client, task_id, "NOT_BEFORE")) == ["NOT_BEFORE", "DEADLINE"]
    client.CancelTask(api.CancelTaskRequest(task_id=task_id), timeout=30)
    cancelled = explained(client, task_id, "CANCELLED")
    assert "before it had started" in cancelled.headline


def test_a_deadline_that_was_missed_is_named(client: api_grpc.SchedulerStub) -> None:
    task_id = submit(client, data="python:pass", pool="nobody", deadline=ahead(seconds=1))
    ended(client, task_id)
    explanation = explained(client, task_id, "EXPIRED")
    assert "had not started by its deadline" in explanation.headline


def test_the_wait_for_another_attempt_is_named_with_what_ended_the_last_one(client: api_grpc.SchedulerStub) -> None:
    task_id = submit(client, data="python:raise SystemExit(5)", retry={"max_attempts": 3, "backoff": {"seconds": 3600}})
    explanation = explained(client, task_id, "RETRY_BACKOFF")
    assert codes(explanation) == ["RETRY_BACKOFF", "FAILED_BEFORE"]
    assert "attempt 1: failed, exited with code 5" in explanation.headline
    assert "3 attempts in all" in explanation.headline
    client.CancelTask(api.CancelTaskRequest(task_id=task_id), timeout=30)


def test_where_the_chunks_of_a_cut_task_are_is_named(client: api_grpc.SchedulerStub) -> None:
    task_id = submit(client, data=SLEEPS, split={"chunks": 50})
    explanation = explained(client, task_id, "SPLIT_WINDOW")
    explanation = explained(client, task_id, "RUNNING")
    assert codes(explanation)[0] == "RUNNING"
    assert "0 of 50 chunks have ended" in explanation.headline
    client.CancelTask(api.CancelTaskRequest(task_id=task_id), timeout=30)
    assert "0 of 50 chunks done" in explained(client, task_id, "CANCELLED").headline


def test_an_unknown_task_is_not_found_and_why_is_said(stack: Stack, client: api_grpc.SchedulerStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.ExplainTask(api.ExplainTaskRequest(task_id="nobody"), timeout=30)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "never accepted" in str(refused.value.details())
    assert httpx.get(f"http://{stack.http_address}/tasks/nobody/explain").status_code == 404


def test_the_same_is_said_over_http(stack: Stack, client: api_grpc.SchedulerStub) -> None:
    task_id = submit(client, data="python:raise SystemExit(5)")
    ended(client, task_id)
    answer = httpx.get(f"http://{stack.http_address}/tasks/{task_id}/explain").json()["explanation"]
    assert answer["reasons"][0]["code"] == "REASON_CODE_EXIT_CODE"
    assert answer["headline"] == explained(client, task_id, "EXIT_CODE").headline


async def test_the_command_line_says_it_to_people_and_programs(cli: CommandLine) -> None:
    await cli("run", "--id", "explained", "-c", "raise SystemExit(9)")
    said = await cli("explain", "explained")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Failed: exited with code 9 on ")
    assert "[exit_code]" in said.out
    assert "-> taskandgo get explained shows all it wrote" in said.out
    told = json.loads((await cli("explain", "explained", "--json")).out)
    assert told["state"] == "TASK_STATE_FAILED"
    assert (await cli("explain", "nobody")).code == 4
