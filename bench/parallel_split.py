"""How much faster CPU-bound work ends when it is cut for two slots instead of one; and in two bare processes.

Promises: what the machine itself does not give is told apart from what scheduling loses: two bare processes take
turns with the two pools, and the share of its slots' time in which a task's code ran counts no slow second twice.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc

#: The pools, and the slots of the only runner of each.
POOLS = {"one": 1, "two": 2}
CHUNKS = 16
PATIENCE_SECONDS = 600.0
CODE = """python:
import os
total = 0
for number in range(int(os.environ["WORK"])):
    total += number * number
print(total)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A task's seconds from queued to finished, and those in which its chunks' code ran, together."""

    seconds: float
    code_seconds: float


@dataclass(frozen=True, slots=True)
class Speedup:
    """The runs of each pool, and how much faster two bare processes were at once in the same rounds."""

    runs: Mapping[str, list[Run]]
    bare: list[float]

    @property
    def ratio(self) -> float:
        """One slot's seconds by those of two: the median of the rounds."""
        return statistics.median(
            one.seconds / two.seconds for one, two in zip(self.runs["one"], self.runs["two"], strict=True)
        )

    @property
    def best_ratio(self) -> float:
        """The same of the best rounds, which others on the machine disturbed least."""
        one, two = (min(run.seconds for run in self.runs[pool]) for pool in POOLS)
        return one / two

    def share(self, pool: str) -> float:
        """In how much of its slots' time a task's code ran: the median of the rounds, from 0 to 1."""
        return statistics.median(run.code_seconds / run.seconds / POOLS[pool] for run in self.runs[pool])

    @property
    def scheduled_ratio(self) -> float:
        """What scheduling leaves of twice as fast, were both cores as fast together as one is alone."""
        return 2 * self.share("two") / self.share("one")


def measure_speedup(client: api_grpc.SchedulerStub, work: int, rounds: int) -> Speedup:
    """Run the same task in both pools and in bare processes, in turn, after one each that warms up."""
    speedup = Speedup({pool: [] for pool in POOLS}, [])
    for pool in POOLS:
        _run(client, pool, work // 20)
    for _ in range(rounds):
        for pool, runs in speedup.runs.items():
            runs.append(_run(client, pool, work))
        speedup.bare.append(2 * _bare_seconds(1, 4 * work) / _bare_seconds(2, 4 * work))
    return speedup


def _bare_seconds(processes: int, work: int) -> float:
    command, env = [sys.executable, "-I", "-S", "-c", CODE.removeprefix("python:")], {**os.environ, "WORK": str(work)}
    started = time.perf_counter()
    running = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) for _ in range(processes)]
    for process in running:
        process.wait()
    return time.perf_counter() - started


def _run(client: api_grpc.SchedulerStub, pool: str, work: int) -> Run:
    task = api.Task(data=CODE, pool=pool, split=api.Split(chunks=CHUNKS), env={"WORK": str(work)})
    *_, last = client.RunTask(api.RunTaskRequest(task=task), timeout=PATIENCE_SECONDS)
    status = last.status
    if status.state != api.TASK_STATE_SUCCEEDED:
        raise AssertionError(f"{pool}: {status.result.reason}")
    seconds = (status.finished_at.ToNanoseconds() - status.queued_at.ToNanoseconds()) / 1e9
    return Run(seconds, status.result.usage.wall_seconds)
