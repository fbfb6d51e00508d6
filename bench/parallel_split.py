"""How much faster CPU-bound work ends when it is cut for two slots instead of one; and in two bare processes."""

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
class Speedup:
    """Seconds of each round, by pool."""

    seconds: Mapping[str, list[float]]

    @property
    def ratio(self) -> float:
        """One slot's seconds by those of two: the medians."""
        return statistics.median(self.seconds["one"]) / statistics.median(self.seconds["two"])

    @property
    def best_ratio(self) -> float:
        """The same of the best rounds, which others on the machine disturbed least."""
        return min(self.seconds["one"]) / min(self.seconds["two"])


def measure_speedup(client: api_grpc.SchedulerStub, work: int, rounds: int) -> Speedup:
    """Run the same task in both pools, in turn, after one each that warms up."""
    seconds: dict[str, list[float]] = {pool: [] for pool in POOLS}
    for pool in POOLS:
        _run(client, pool, work // 20)
    for _ in range(rounds):
        for pool, times in seconds.items():
            times.append(_run(client, pool, work))
    return Speedup(seconds)


def bare_ratio(work: int, rounds: int) -> float:
    """The same of bare processes, two after another and two at once: what this machine can give; the best rounds."""
    alone, together = [], []
    for _ in range(rounds):
        alone.append(2 * _bare_seconds(1, work))
        together.append(_bare_seconds(2, work))
    return min(alone) / min(together)


def _bare_seconds(processes: int, work: int) -> float:
    command, env = [sys.executable, "-I", "-S", "-c", CODE.removeprefix("python:")], {**os.environ, "WORK": str(work)}
    started = time.perf_counter()
    running = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) for _ in range(processes)]
    for process in running:
        process.wait()
    return time.perf_counter() - started


def _run(client: api_grpc.SchedulerStub, pool: str, work: int) -> float:
    task = api.Task(data=CODE, pool=pool, split=api.Split(chunks=CHUNKS), env={"WORK": str(work)})
    *_, last = client.RunTask(api.RunTaskRequest(task=task), timeout=PATIENCE_SECONDS)
    status = last.status
    if status.state != api.TASK_STATE_SUCCEEDED:
        raise AssertionError(f"{pool}: {status.result.reason}")
    return (status.finished_at.ToNanoseconds() - status.queued_at.ToNanoseconds()) / 1e9
