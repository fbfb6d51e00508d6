"""The same stack with tracing and metrics off and on, as `python -m bench.observability` compares them.

Promises: the stacks share one RabbitMQ and one PostgreSQL; one that is on exports its spans over OTLP to a real
receiver, and serves a page of metrics for each of its services.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx

from bench.stack import TaskAndGoSystem
from bench.system import PATIENCE_SECONDS
from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, free_port, running
from tests.servers.postgres import fresh_database, private_postgres
from tests.servers.rabbitmq import fresh_vhost, private_rabbitmq

SLOTS = 2
TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
#: How long spans are collected before they are sent: less than OpenTelemetry's five, for a turn to have its own in it.
EXPORT_SECONDS = 1.0
TRACING_OFF = {"OTEL_SDK_DISABLED": "true"}
#: What a stack that is on is told besides the receiver's address; None: nothing is on.
VARIANTS: dict[str, Mapping[str, str] | None] = {
    "off": None,
    "on": {},
    "on, and every task traced": {"OTEL_TRACES_SAMPLER": "parentbased_always_on"},
}
#: Parts of what `on` costs, for whoever looks where it goes.
PARTS: dict[str, Mapping[str, str] | None] = {
    "metrics alone": TRACING_OFF,
    "on, and no task traced": {"OTEL_TRACES_SAMPLER": "parentbased_always_off"},
}


@dataclass(frozen=True, slots=True)
class Observed:
    """A running stack, its client, and the pages of its metrics; none if it is off."""

    stack: Stack
    scheduler: api_grpc.SchedulerStub
    system: TaskAndGoSystem
    pages: Sequence[str]

    def scrape(self) -> None:
        """Read every page, as Prometheus does."""
        with httpx.Client(trust_env=False) as client:
            for page in self.pages:
                client.get(page, headers={"accept": "application/openmetrics-text"}).raise_for_status()

    def prepare(self) -> None:
        """Return when no language is being prepared any more: a task of Go waits for that."""
        task = api.Task(data="go:package main\nfunc main() {}\n")
        for _ in self.scheduler.RunTask(api.RunTaskRequest(task=task), timeout=PATIENCE_SECONDS):
            pass


@contextmanager
def observed_stacks(variants: Mapping[str, Mapping[str, str] | None]) -> Iterator[dict[str, Observed]]:
    """A stack for each variant, while the context lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="taskandgo-bench-") as folder,
        private_rabbitmq() as rabbitmq,
        private_postgres() as postgres,
        _receiver() as receiver,
        ExitStack() as started,
    ):
        stacks = {}
        for number, (name, asked) in enumerate(variants.items()):
            own = Path(folder, str(number))
            own.mkdir()
            env = {
                "BROKER_URL": fresh_vhost(rabbitmq),
                "STORE_URL": fresh_database(postgres),
                "LOG_LEVEL": "warning",
                "RUNNER_SLOTS": str(SLOTS),
                "RUNNER_NAME": f"bench-{number}",
            }
            stacks[name] = started.enter_context(_observed(own, env, receiver, asked))
        yield stacks


@contextmanager
def _observed(folder: Path, env: dict[str, str], receiver: str, asked: Mapping[str, str] | None) -> Iterator[Observed]:
    own_pages = {} if asked is None else _pages()
    tracing = {} if asked is None else _tracing(receiver) | dict(asked)
    with running("services", folder, env | own_pages | tracing) as stack, stack.client() as scheduler:
        addresses = [stack.http_address, stack.metrics_address, *own_pages.values()] if own_pages else []
        pages = [f"http://{address}/metrics" for address in addresses]
        yield Observed(stack, scheduler, TaskAndGoSystem(scheduler), pages)


def _pages() -> dict[str, str]:
    return {name: f"127.0.0.1:{free_port()}" for name in ("DISPATCHER_HTTP_LISTEN", "RUNNER_HTTP_LISTEN")}


def _tracing(receiver: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver, "OTEL_BSP_SCHEDULE_DELAY": f"{EXPORT_SECONDS * 1000:.0f}"}


@contextmanager
def _receiver() -> Iterator[str]:
    """An OTLP receiver that takes everything and reads nothing: its own work is not what is measured."""
    take = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(TRACE_SERVICE, {"Export": take}),))
    address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None)
