"""A split task that goes as badly as they do: some chunks fail once, and one hangs for ever at its first attempt."""

from collections.abc import Iterator
from dataclasses import dataclass

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc

#: One chunk in so many fails at its first attempt, having written all of its output.
FAILS_ONE_IN, FIRST_THAT_FAILS = 33, 5
ELEMENTS_A_CHUNK = 3
PATIENCE_SECONDS = 1800.0
CODE = """python:
import os, time
number = {name: int(os.environ[name]) for name in ("CHUNK_INDEX", "ATTEMPT", "RANGE_START", "RANGE_STOP")}
for element in range(number["RANGE_START"], number["RANGE_STOP"]):
    print(element, flush=True)
first = number["ATTEMPT"] == 1
time.sleep(3000 if first and os.environ["CHUNK_INDEX"] == os.environ["HANGS"] else float(os.environ["SECONDS"]))
one_in, first_one = (int(os.environ[name]) for name in ("FAILS_ONE_IN", "FIRST_THAT_FAILS"))
raise SystemExit(first and number["CHUNK_INDEX"] % one_in == first_one)
"""


@dataclass(frozen=True, slots=True)
class Uneven:
    """What became of one: its final state, every chunk's, and which one hung."""

    final: api.TaskStatus
    chunks: list[api.ChunkStatus]
    hangs: int

    @property
    def seconds(self) -> float:
        """From accepted to finished."""
        return (self.final.finished_at.ToNanoseconds() - self.final.queued_at.ToNanoseconds()) / 1e9

    @property
    def failed_once(self) -> list[int]:
        """Which chunks had to fail once."""
        return [index for index in range(len(self.chunks)) if fails_once(index) and index != self.hangs]

    @property
    def work_seconds(self) -> float:
        """How long all attempts ran in sum, but for the one that hung."""
        counted = sum(chunk.usage.wall_seconds for chunk in self.chunks)
        return counted * (1 + len(self.failed_once) / len(self.chunks))

    @property
    def right(self) -> bool:
        """Whether every element is in the output exactly once, in order."""
        elements = range(ELEMENTS_A_CHUNK * len(self.chunks))
        return self.final.result.stdout == "".join(f"{element}\n" for element in elements)


def fails_once(index: int) -> bool:
    """Whether this chunk fails at its first attempt."""
    return index % FAILS_ONE_IN == FIRST_THAT_FAILS


def uneven_task(chunks: int, seconds: float) -> api.Task:
    """Such a task of so many chunks, each of which takes so long."""
    env = {
        "HANGS": str(chunks // 2),
        "SECONDS": str(seconds),
        "FAILS_ONE_IN": str(FAILS_ONE_IN),
        "FIRST_THAT_FAILS": str(FIRST_THAT_FAILS),
    }
    split = api.Split(chunks=chunks, range=api.Range(stop=ELEMENTS_A_CHUNK * chunks))
    task = api.Task(data=CODE, env=env, split=split)
    task.retry.max_attempts = 3
    task.retry.backoff.FromMilliseconds(100)
    # Not the timeout is to end what hangs.
    task.limits.timeout.FromSeconds(3000)
    return task


def ended(client: api_grpc.SchedulerStub, task_id: str, hangs: int) -> Uneven:
    """What became of it, once it has ended."""
    request = api.WatchTaskRequest(task_id=task_id)
    *_, last = client.WatchTask(request, timeout=PATIENCE_SECONDS)
    return Uneven(last.status, list(listed_chunks(client, task_id)), hangs)


def listed_chunks(client: api_grpc.SchedulerStub, task_id: str) -> Iterator[api.ChunkStatus]:
    """All chunks, page by page."""
    request = api.ListChunksRequest(task_id=task_id, page_size=1000)
    while True:
        page = client.ListChunks(request, timeout=60)
        yield from page.chunks
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def run_uneven(client: api_grpc.SchedulerStub, chunks: int, seconds: float) -> Uneven:
    """Run one to its end."""
    submitted = client.SubmitTask(api.SubmitTaskRequest(task=uneven_task(chunks, seconds)), timeout=60)
    return ended(client, submitted.task_id, chunks // 2)
