"""TaskAndGo as its users run it: four processes over RabbitMQ and PostgreSQL, and a client over gRPC."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from uuid import uuid4

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.boxed import CODE, EXPECTED, PYTHON
from bench.processes import background
from bench.system import PATIENCE_SECONDS, SLOTS, WrongOutputError, check
from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc

SERVICES = ("ingest", "dispatcher", "monitor", "runner")
OPEN = (api.TASK_STATE_QUEUED, api.TASK_STATE_RUNNING)
BATCH = 100
LABEL = "bench/burst"


class TaskAndGoSystem:
    """A client of the stack."""

    def __init__(self, scheduler: api_grpc.SchedulerStub) -> None:
        self._scheduler = scheduler

    def run_one(self) -> None:
        """Submit one task; return when its final state, with the result, is here."""
        request = api.RunTaskRequest(task=_task())
        check(_output(self._scheduler.RunTask(request, timeout=PATIENCE_SECONDS)), EXPECTED)

    def run_burst(self, count: int) -> None:
        """Submit so many tasks at once; return when every one is recorded as succeeded."""
        burst = uuid4().hex
        self._submit([_task(burst) for _ in range(count)])
        # The last one is the likeliest to end last; whoever is still open after it is waited for too.
        while waiting := self._listed(burst, OPEN):
            check(_output(self._watch(waiting[0])), EXPECTED)
        if len(done := self._listed(burst, (api.TASK_STATE_SUCCEEDED,))) != count:
            raise WrongOutputError(f"{len(done)} of {count} tasks succeeded")

    def _submit(self, tasks: list[api.Task]) -> None:
        for start in range(0, len(tasks), BATCH):
            request = api.SubmitTasksRequest(tasks=tasks[start : start + BATCH])
            answers = self._scheduler.SubmitTasks(request, timeout=PATIENCE_SECONDS).answers
            if refused := [answer.message for answer in answers if not answer.success]:
                raise WrongOutputError(refused[0])

    def _watch(self, task_id: str) -> Iterator[api.WatchTaskResponse]:
        return self._scheduler.WatchTask(api.WatchTaskRequest(task_id=task_id), timeout=PATIENCE_SECONDS)

    def _listed(self, burst: str, states: Iterable[api.TaskState.ValueType]) -> list[str]:
        found: list[str] = []
        request = api.ListTasksRequest(states=states, labels={LABEL: burst}, page_size=1000)
        while True:
            page = self._scheduler.ListTasks(request, timeout=PATIENCE_SECONDS)
            found += [task.task_id for task in page.tasks]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


@contextmanager
def taskandgo_system(folder: Path, rabbitmq: str, postgres: str) -> Iterator[TaskAndGoSystem]:
    """The four services and their client, while the context lasts."""
    with started_services(folder, SERVICES, rabbitmq, postgres) as address, ready_channel(address) as channel:
        yield TaskAndGoSystem(api_grpc.SchedulerStub(channel))


@contextmanager
def started_services(folder: Path, names: Iterable[str], rabbitmq: str, postgres: str) -> Iterator[str]:
    """The services while the context lasts; yields the address of ingest, which may not answer yet."""
    address = f"127.0.0.1:{_free_port()}"
    env = _environment(address, rabbitmq, postgres)
    with ExitStack() as started:
        for name in names:
            started.enter_context(background(folder, name, "services.cli.main", name, env=env))
        yield address


@contextmanager
def ready_channel(address: str) -> Iterator[grpc.Channel]:
    """A channel to an ingest that answers."""
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=PATIENCE_SECONDS)
        yield channel


def _environment(address: str, rabbitmq: str, postgres: str) -> dict[str, str]:
    return {
        "BROKER_URL": rabbitmq,
        "STORE_URL": postgres,
        "INGEST_GRPC_LISTEN": address,
        "INGEST_HTTP_LISTEN": "127.0.0.1:0",
        "DISPATCHER_HTTP_LISTEN": "",
        "MONITOR_HTTP_LISTEN": "127.0.0.1:0",
        "RUNNER_HTTP_LISTEN": "",
        "RUNNER_SLOTS": str(SLOTS),
        "RUNNER_PYTHON": PYTHON,
        "LOG_LEVEL": "warning",
    }


def _task(burst: str = "") -> api.Task:
    return api.Task(data=f"python:{CODE}", labels={LABEL: burst} if burst else {})


def _output(events: Iterable[api.RunTaskResponse | api.WatchTaskResponse]) -> str:
    """The stdout of the final state, which is the last event."""
    last = None
    for event in events:
        last = event
    return last.status.result.stdout if last else ""


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
