"""How fast tasks are accepted: ingest over a real PostgreSQL and RabbitMQ, with nobody there to run them.

Promises: every task counted was answered with success, so it is committed; what is announced to the broker
meanwhile costs the same cores, as it does in use.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.boxed import CODE
from bench.stack import ready_channel, started_services
from bench.system import PATIENCE_SECONDS, WrongOutputError
from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc

BATCH = 100
TASK = api.Task(data=f"python:{CODE}")


@dataclass(frozen=True, slots=True)
class Way:
    """A way to submit: how many tasks a call, and how many calls wait for their answers at once."""

    name: str
    batch: int
    at_once: int


WAYS = (
    Way("SubmitTask, one at a time", 1, 1),
    Way("SubmitTask, 64 at once", 1, 64),
    Way(f"SubmitTasks of {BATCH}, 4 at once", BATCH, 4),
)


@dataclass(slots=True)
class Accepted:
    """What was measured of one way: seconds of each call, and tasks per second of each round."""

    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


class Submitting:
    """A client of an ingest."""

    def __init__(self, scheduler: api_grpc.SchedulerStub) -> None:
        self._scheduler = scheduler

    def measure(self, way: Way, tasks: int, accepted: Accepted) -> None:
        """Submit so many tasks this way, and add what it took."""
        calls = [way.batch] * max(1, tasks // way.batch)
        with ThreadPoolExecutor(way.at_once) as threads:
            started = time.perf_counter()
            accepted.seconds += threads.map(self._call, calls)
            accepted.rates.append(sum(calls) / (time.perf_counter() - started))

    def _call(self, batch: int) -> float:
        started = time.perf_counter()
        if batch == 1:
            request = api.SubmitTaskRequest(task=TASK)
            _check([self._scheduler.SubmitTask(request, timeout=PATIENCE_SECONDS)])
        else:
            many = api.SubmitTasksRequest(tasks=[TASK] * batch)
            _check(self._scheduler.SubmitTasks(many, timeout=PATIENCE_SECONDS).answers)
        return time.perf_counter() - started


def _check(answers: Sequence[api.SubmitTaskResponse | api.SubmitTaskAnswer]) -> None:
    if refused := [answer.message for answer in answers if not answer.success]:
        raise WrongOutputError(refused[0])


@contextmanager
def submitting(folder: Path, rabbitmq: str, postgres: str) -> Iterator[Submitting]:
    """An ingest and its client, while the context lasts."""
    with started_services(folder, ("ingest",), rabbitmq, postgres) as address, ready_channel(address) as channel:
        yield Submitting(api_grpc.SchedulerStub(channel))


def measure_submits(client: Submitting, tasks: int, rounds: int) -> dict[str, Accepted]:
    """Each way in turn, so many rounds, after one that warms everything up."""
    measured = {way.name: Accepted() for way in WAYS}
    for way in WAYS:
        client.measure(way, _share(way, tasks) // 5, Accepted())
    for _ in range(rounds):
        for way in WAYS:
            client.measure(way, _share(way, tasks), measured[way.name])
    return measured


def _share(way: Way, tasks: int) -> int:
    """Slower ways get fewer tasks, so that each takes about as long."""
    return tasks * 10 if way.batch > 1 else tasks if way.at_once > 1 else tasks // 4
