"""One task, one trace, across all services and both brokers, as a real OTLP receiver gets it."""

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from google.protobuf.duration_pb2 import Duration

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, free_port, running
from tests.otlp_receiver import Received, Span, receiving
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

SUBMIT = "scheduler.Scheduler/SubmitTask"
EMIT = "publish taskandgo:chunk.ready.default"
EXECUTE = "process taskandgo:chunk.ready.default:runner.chunk-ready.default"
RECORD = "process taskandgo:chunk.finished:dispatcher.chunk-finished"
ANNOUNCE = "publish taskandgo:task.finished.{watcher}.{task_id}"
COMPILE = "compile go"
COUNT = "process taskandgo:task.finished.{watcher}.{task_id}:monitor.task-finished"
#: Each span's parent, kind and service in a trace of one chunk that is compiled, as the documentation has them.
ROW = re.compile(r"^\| `([^`]+)` \| ([A-Z]+) \| (\w+) \| (?:`([^`]+)` )?\|$", re.MULTILINE)
DOCUMENTED = {
    name: (above, kind, service)
    for name, kind, service, above in ROW.findall((Path(__file__).parents[2] / "docs" / "tracing.md").read_text())
}
PLACES = {name: place for name, place in DOCUMENTED.items() if name != COMPILE}
CALLER_TRACE, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"
GO = 'go:package main\nimport "fmt"\nfunc main() { fmt.Println("traced", 1) }\n'
AT_ONCE = Duration(nanos=50_000_000)
FAILS_FIRST = "python:import os, sys; sys.exit(os.environ['ATTEMPT'] == '1')"


@dataclass
class Traced:
    """A running product that exports its spans to a receiver."""

    stack: Stack
    client: api_grpc.SchedulerStub
    received: Received

    def run(self, task: api.Task) -> list[Span]:
        """The whole trace of a task."""
        list(self.client.RunTask(api.RunTaskRequest(task=task)))
        return self.received.trace(task.task_id, COUNT)


@pytest.fixture(scope="module", params=["up", "services"])
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """The product, embedded and as four processes."""
    with receiving() as received:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.address, "OTEL_BSP_SCHEDULE_DELAY": "100", "LOG_FORMAT": "json"}
        if request.param == "services":
            env["BROKER_URL"] = fresh_vhost(request.getfixturevalue("rabbitmq_url"))
            env["STORE_URL"] = fresh_database(request.getfixturevalue("postgres_url"))
        with running(request.param, tmp_path_factory.mktemp(request.param), env) as stack, stack.client() as client:
            yield Traced(stack, client, received)


def named(spans: list[Span], name: str) -> list[Span]:
    """The spans of this name, in the order of chunks and attempts."""
    found = [span for span in spans if span.name == name]
    return sorted(found, key=lambda span: [span.attributes.get(key, 0) for key in ("taskandgo.chunk.index", ATTEMPT)])


ATTEMPT = "taskandgo.attempt"


def parent(spans: list[Span], span: Span) -> str:
    """The name of the span's parent; empty if it is not ours."""
    return next((one.name for one in spans if one.span_id == span.parent_id), "")


def test_a_task_is_one_trace_from_its_submit_to_its_end_in_the_callers_trace(traced: Traced) -> None:
    task = api.Task(task_id="one", data="python:print(1)")
    traced.client.SubmitTask(api.SubmitTaskRequest(task=task), metadata=[("traceparent", CALLER)])

    spans = traced.received.trace("one", COUNT)

    services = traced.stack.kind == "services"
    places = {span.name: (parent(spans, span), span.kind, span.service) for span in spans}
    assert places == {
        name: (above, kind, f"taskandgo-{service if services else 'up'}")
        for name, (above, kind, service) in PLACES.items()
    }
    assert len(spans) == len(PLACES)
    assert {span.trace_id for span in spans} == {CALLER_TRACE}
    assert named(spans, SUBMIT)[0].parent_id == CALLER_SPAN
    assert not any(span.failed for span in spans)


def test_the_documentation_has_the_whole_way() -> None:
    assert set(DOCUMENTED) > {SUBMIT, EMIT, EXECUTE, COMPILE, RECORD, ANNOUNCE, COUNT}


def test_messages_are_described_as_the_conventions_say(traced: Traced) -> None:
    spans = traced.run(api.Task(task_id="described", data="python:pass"))
    rabbitmq = traced.stack.kind == "services"
    published, processed = named(spans, EMIT)[0].attributes, named(spans, EXECUTE)[0].attributes
    finished = named(spans, COUNT)[0].attributes

    expected = {
        "messaging.system": "rabbitmq" if rabbitmq else "memory",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "taskandgo:chunk.ready.default",
        "taskandgo.task.id": "described",
        "taskandgo.chunk.index": 0,
        ATTEMPT: 1,
    }
    key = {"messaging.rabbitmq.destination.routing_key": "chunk.ready.default", "server.address": "127.0.0.1"}
    assert published.items() >= (expected | (key if rabbitmq else {})).items()
    assert processed["messaging.operation.type"] == "process"
    assert processed["messaging.destination.name"] == "taskandgo:chunk.ready.default:runner.chunk-ready.default"
    assert (
        finished["messaging.destination.template"]
        == "taskandgo:task.finished.{watcher}.{task_id}:monitor.task-finished"
    )
    assert finished["taskandgo.task.state"] == "succeeded"


def test_http_is_traced_like_grpc(traced: Traced) -> None:
    task = {"task_id": "over_http", "data": "python:pass"}
    url = f"http://{traced.stack.http_address}/submit-task"
    httpx.post(url, json=task, headers={"traceparent": CALLER.replace("0af7", "0bf7")}).raise_for_status()

    spans = traced.received.trace("over_http", COUNT)

    assert named(spans, "POST /submit-task")[0].parent_id == CALLER_SPAN
    assert {span.trace_id for span in spans} == {CALLER_TRACE.replace("0af7", "0bf7")}


def test_a_compilation_has_a_span_of_its_own(traced: Traced) -> None:
    spans = traced.run(api.Task(task_id="compiled", data=GO))

    compiling, running_code = named(spans, COMPILE), named(spans, "run in sandbox")

    assert [(parent(spans, span), span.kind) for span in compiling] == [DOCUMENTED[COMPILE][:2]]
    assert sorted(parent(spans, span) for span in running_code) == [COMPILE, EXECUTE]


def test_a_retry_is_in_the_same_trace_and_linked_to_the_attempt_before(traced: Traced) -> None:
    task = api.Task(task_id="again", data=FAILS_FIRST, retry=api.Retry(max_attempts=2, backoff=AT_ONCE))

    spans = traced.run(task)

    first, second = named(spans, EMIT)
    failed, succeeded = named(spans, EXECUTE)
    assert (second.trace_id, first.span_id) in [(trace_id, span_id) for trace_id, span_id in second.links]
    assert first.parent_id == second.parent_id
    assert failed.failed.startswith("failed: ")
    assert (failed.attributes[ATTEMPT], succeeded.attributes[ATTEMPT], succeeded.failed) == (1, 2, "")


def test_a_reduce_is_linked_to_the_chunks_that_it_reads(traced: Traced) -> None:
    split = api.Split(chunks=3, reduce="python:import sys; print(len(sys.stdin.readlines()))")

    spans = traced.run(api.Task(task_id="reduced", data="python:print(1)", split=split))

    *chunks, reduce = named(spans, EMIT)
    assert [span.attributes["taskandgo.chunk.index"] for span in (*chunks, reduce)] == [0, 1, 2, 3]
    assert {span.span_id for span in chunks} <= {span_id for _, span_id in reduce.links}
    assert {parent(spans, span) for span in (*chunks, reduce)} == {"scheduler.Scheduler/RunTask"}
    assert len(named(spans, RECORD)) == 4
    assert len(named(spans, ANNOUNCE)) == 1


def test_a_trace_is_bounded_however_many_chunks_there_are(traced: Traced) -> None:
    spans = traced.run(api.Task(task_id="many", data="python:pass", split=api.Split(chunks=130)))

    assert [span.attributes["taskandgo.chunk.index"] for span in named(spans, EXECUTE)] == list(range(100))
    assert len({span.trace_id for span in spans}) == 1
    assert len(named(spans, COUNT)) == 1
    assert len({span.span_id for span in spans}) == len(spans)


def test_of_many_tasks_in_one_call_each_has_a_trace_that_is_linked_to_the_call(traced: Traced) -> None:
    tasks = [api.Task(task_id=f"of_many_{number}", data="python:pass") for number in range(2)]
    traced.client.SubmitTasks(api.SubmitTasksRequest(tasks=tasks))

    traces = [traced.received.trace(task.task_id, COUNT) for task in tasks]

    call = named(traced.received.spans, "scheduler.Scheduler/SubmitTasks")[-1]
    accepted = [named(spans, "accept task")[0] for spans in traces]
    assert len({span.trace_id for span in (*accepted, call)}) == 3
    assert [span.links for span in accepted] == [[(call.trace_id, call.span_id)]] * 2


def test_lines_of_the_log_tell_trace_span_and_task(traced: Traced) -> None:
    spans = traced.run(api.Task(task_id="logged", data="python:pass"))

    names = ("ingest", "dispatcher", "runner") if traced.stack.kind == "services" else ("up",)
    for name in names:
        log = (traced.stack.folder / f"{name}.log").read_text().splitlines()
        lines = [json.loads(line) for line in log if line.startswith("{")]
        of_task = [line for line in lines if line.get("task_id") == "logged"]
        assert of_task
        assert {line["trace_id"] for line in of_task} == {spans[0].trace_id}
        assert {line["span_id"] for line in of_task} <= {span.span_id for span in spans}


def test_a_receiver_that_is_away_costs_no_task_and_no_stop(tmp_path: Path) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    with running("up", tmp_path, env) as stack:
        with stack.client() as client:
            events = list(client.RunTask(api.RunTaskRequest(task=api.Task(data="python:print(1)"))))
        assert events[-1].status.state == api.TASK_STATE_SUCCEEDED
        assert stack.stop("up", signal.SIGTERM) == 0


def test_what_is_not_sampled_is_not_recorded(tmp_path: Path) -> None:
    with receiving() as received:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.address, "OTEL_TRACES_SAMPLER": "always_off"}
        with running("up", tmp_path, env) as stack:
            with stack.client() as client:
                list(client.RunTask(api.RunTaskRequest(task=api.Task(data="python:print(1)"))))
            # Leaving sends what is left.
            stack.stop("up")
        assert received.spans == []
