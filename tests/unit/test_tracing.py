"""When tracing is on, what it costs when it is off, and how attempts hang together in a trace."""

import subprocess
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread

import pytest
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from taskandgo.broker.message_spans import NO_HEADERS, MessageSpans
from taskandgo.broker.topology import routing_key
from taskandgo.errors import SettingsError
from taskandgo.messages import TaskCancelled, TaskFinished
from taskandgo.telemetry import w3c
from taskandgo.telemetry.chunk_traces import MOST_CHUNKS, announced, attempt_id, emission, emission_of, is_sampled
from taskandgo.telemetry.export_spans import exporting
from taskandgo.telemetry.rate_sampler import RateSampler
from taskandgo.telemetry.tracing import (
    NOTHING,
    asked_for,
    current_trace_id,
    emitting,
    recorder,
    step,
    trace_of_new_task,
    tracing,
)
from taskandgo.words import Priority, Strategy, TaskState

ROOT = SpanContext(0xABC << 100, 7, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
CAUSE = SpanContext(ROOT.trace_id, 8, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
TASK = set_span_in_context(NonRecordingSpan(ROOT), Context())
AT = datetime(2026, 1, 2, tzinfo=UTC)
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
LOAD_SERVICES = """
import sys
import services.ingest.main, services.dispatcher.main, services.runner.main, services.monitor.main
import services.cli.embedded, taskandgo.broker.rabbitmq, taskandgo.lifecycle
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


@pytest.mark.parametrize(
    ("env", "on"),
    [
        ({}, False),
        ({ENDPOINT: "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({ENDPOINT: "http://collector:4317", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://collector:4317", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_SAMPLER": "always_on"}, False),
    ],
)
def test_the_standard_variables_turn_it_on_and_off(env: dict[str, str], on: bool) -> None:  # noqa: FBT001 - a case
    assert asked_for(env) is on


def test_an_exporter_or_protocol_that_is_none_of_ours_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER=zipkin: must be otlp or none"):
        asked_for({"OTEL_TRACES_EXPORTER": "zipkin"})
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_PROTOCOL=http/json: must be grpc or http/protobuf"):
        exporting("test").__enter__()


def test_while_it_is_off_nothing_of_it_is_loaded() -> None:
    loaded = subprocess.run([sys.executable, "-c", LOAD_SERVICES], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


def test_while_it_is_off_nothing_is_made_and_no_header_is_sent() -> None:
    with tracing("test"):
        assert MessageSpans("memory").publishing(TaskCancelled(task_id="a"), "task.cancelled") is NO_HEADERS
        assert step("any") is NOTHING
        assert emitting({"traceparent": "any"}, (0, 1, 1)) is NOTHING
        assert trace_of_new_task("a") == {}
        assert current_trace_id() is None


def test_an_attempt_is_under_its_task_and_linked_to_its_cause_and_the_attempt_before() -> None:
    planned = emission(TASK, CAUSE, (2, 5, 3), [])

    wanted = emission_of(planned)
    assert get_current_span(planned).get_span_context() == ROOT
    assert wanted.span_id == attempt_id(ROOT.trace_id, 2, 3)
    assert [link.context.span_id for link in wanted.links] == [CAUSE.span_id, attempt_id(ROOT.trace_id, 2, 2)]
    assert emission_of(planned).span_id == 0, "a second span, as of a second try, is another one"


def test_a_reduce_is_linked_to_no_more_chunks_than_are_recorded() -> None:
    chunks = [(index, 1) for index in range(MOST_CHUNKS + 20)]

    wanted = emission_of(emission(TASK, CAUSE, (len(chunks), len(chunks), 1), chunks))

    assert len(wanted.links) == 1 + MOST_CHUNKS


def test_a_chunk_beyond_the_bound_is_left_out_but_not_the_end_of_its_task() -> None:
    beyond = emission(TASK, CAUSE, (MOST_CHUNKS, MOST_CHUNKS + 1, 1), [])
    left_out, end = get_current_span(beyond).get_span_context(), get_current_span(announced(beyond)).get_span_context()

    assert (left_out.trace_id, is_sampled(left_out)) == (ROOT.trace_id, False)
    assert (end.trace_id, end.span_id, is_sampled(end)) == (ROOT.trace_id, ROOT.span_id, True)


def test_what_was_never_sampled_stays_so_to_its_end() -> None:
    unsampled = SpanContext(ROOT.trace_id, ROOT.span_id, is_remote=True, trace_flags=TraceFlags(0))
    planned = emission(set_span_in_context(NonRecordingSpan(unsampled), Context()), CAUSE, (500, 1000, 1), [])

    assert not is_sampled(get_current_span(announced(planned)).get_span_context())


def test_a_caller_cannot_have_us_carry_more_than_it_may() -> None:
    parent = f"00-{ROOT.trace_id:032x}-{ROOT.span_id:016x}-01"
    large = f"a={'b' * 200},c={'d' * 200},e={'f' * 200}"

    assert context({"traceparent": parent, "tracestate": "a=b"}).trace_state.get("a") == "b"
    assert context({"traceparent": parent, "tracestate": large}).trace_id == ROOT.trace_id
    assert not context({"traceparent": parent, "tracestate": large}).trace_state
    assert not context({"traceparent": "00-nonsense"}).is_valid


def context(carrier: dict[str, str]) -> SpanContext:
    """What is read of it."""
    return get_current_span(w3c.read(carrier)).get_span_context()


@pytest.mark.parametrize("state", [TraceState(), TraceState([("taskandgo", "left-out"), ("vendor", "7")])])
def test_what_we_write_we_read_quickly_and_right(state: TraceState) -> None:
    written = w3c.write(
        SpanContext(ROOT.trace_id, ROOT.span_id, is_remote=True, trace_flags=TraceFlags(3), trace_state=state)
    )

    assert get_current_span(w3c.read_own(written)).get_span_context() == context(written)
    assert context(written).trace_state == state


@pytest.mark.parametrize("wrong", ["", "00-1-2", "00-x-y-z", f"00-{0:032x}-{7:016x}-01"])
def test_what_is_no_context_is_read_as_none(wrong: str) -> None:
    assert not get_current_span(w3c.read_own({"traceparent": wrong})).get_span_context().is_valid


def test_few_traces_are_all_recorded_and_of_many_so_many_a_second() -> None:
    now = 0.0
    sampler = RateSampler(3, 2, lambda: now)

    def recorded(count: int) -> int:
        return sum(sampler.should_sample(None, 1, "any").decision.is_sampled() for _ in range(count))

    assert recorded(10) == 3
    now = 1.0
    assert recorded(10) == 2
    now = 1000.0
    assert recorded(10) == 3


class _Collector(BaseHTTPRequestHandler):
    """An OTLP receiver over HTTP."""

    came: Queue[tuple[str, bytes]] = Queue()

    def do_POST(self) -> None:
        self.came.put((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_spans_go_over_http_too_under_the_name_that_the_environment_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), _Collector) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        with exporting("test") as recorder:
            recorder.begin_call("any call", {}, {}, of_many=False).end()
        server.shutdown()
        serving.join()

    path, body = _Collector.came.get_nowait()
    request = ExportTraceServiceRequest.FromString(body)
    named = {one.key: one.value.string_value for one in request.resource_spans[0].resource.attributes}
    assert path == "/v1/traces"
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "any call"
    assert (named["service.name"], bool(named["service.instance.id"])) == ("mine", True)


def test_no_span_has_the_id_of_a_task_in_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    finished = TaskFinished(
        task_id="one-of-many", state=TaskState.SUCCEEDED, outcome=None, priority=Priority.LOW, language="bash",
        strategy=Strategy.BATCH, queued_at=AT, started_at=AT, finished_at=AT,
    )  # fmt: skip
    names: list[str] = []
    with tracing("test"):
        found = recorder()
        assert found is not None
        monkeypatch.setattr(found, "span", lambda name, *_: (names.append(name), NOTHING)[1])
        with found.within(TASK), MessageSpans("memory").publishing(finished, routing_key(finished)):
            pass

    (name,) = names
    assert name.startswith("publish taskandgo:task.finished.")
    assert "one-of-many" not in name
