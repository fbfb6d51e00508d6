"""How long other tasks wait while a task of very many chunks of their own priority runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc

PATIENCE_SECONDS = 600.0
HIGHS = 5
#: So many chunks have ended before others come: its slots do not keep the same beat any more.
SETTLED_CHUNKS = 8


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from accepted to started: of normal tasks handed in all at once, and one by one; of high ones."""

    at_once: Sequence[float]
    one_by_one: Sequence[float]
    high: Sequence[float]


@contextmanager
def many_chunks(client: api_grpc.SchedulerStub, chunks: int, seconds: float) -> Iterator[str]:
    """The id of a normal task of so many chunks, each so long, that runs while the context lasts."""
    code = f"python:import time; time.sleep({seconds})"
    task = api.Task(data=code, split=api.Split(chunks=chunks))
    task_id = client.SubmitTask(api.SubmitTaskRequest(task=task), timeout=60).task_id
    for event in client.WatchTask(api.WatchTaskRequest(task_id=task_id), timeout=PATIENCE_SECONDS):
        if event.status.chunks_succeeded >= SETTLED_CHUNKS:
            break
    yield task_id
    client.CancelTask(api.CancelTaskRequest(task_id=task_id), timeout=60)


def measure_waits(client: api_grpc.SchedulerStub, singles: int) -> Waits:
    """Hand in so many tasks at once, then some one by one, then urgent ones, and look how long each waited."""
    task = api.Task(data="python:pass")
    answers = client.SubmitTasks(api.SubmitTasksRequest(tasks=[task] * singles), timeout=60).answers
    at_once = [_wait(client, answer.task_id) for answer in answers]
    one_by_one = [_run(client, task) for _ in range(max(1, singles // 10))]
    high = [_run(client, api.Task(data="python:pass", priority="high")) for _ in range(HIGHS)]
    return Waits(at_once, one_by_one, high)


def _run(client: api_grpc.SchedulerStub, task: api.Task) -> float:
    return _wait(client, client.SubmitTask(api.SubmitTaskRequest(task=task), timeout=60).task_id)


def _wait(client: api_grpc.SchedulerStub, task_id: str) -> float:
    *_, last = client.WatchTask(api.WatchTaskRequest(task_id=task_id), timeout=PATIENCE_SECONDS)
    status = last.status
    return (status.started_at.ToNanoseconds() - status.queued_at.ToNanoseconds()) / 1e9
