"""The tasks of a campaign: batch and split, short and long, in three languages, with what each of them must end as.

Pure: the number of a task and the dice make it, so a seed makes the same stream again.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from taskandgo.api import scheduler_pb2 as api

SUCCEEDED, FAILED, CANCELLED = api.TASK_STATE_SUCCEEDED, api.TASK_STATE_FAILED, api.TASK_STATE_CANCELLED
PRIORITIES = ("low", "normal", "high", "critical")
LARGE_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class MixedTask:
    """A task, the state it must end in, what it must have written (None: no matter), and what a client does."""

    kind: str
    task: api.Task
    state: api.TaskState.ValueType
    stdout: str | None
    cancel_after_seconds: float | None = None
    retry_when_failed: bool = False


def _batch(kind: str, code: str, stdout: str | None, state: api.TaskState.ValueType = SUCCEEDED) -> MixedTask:
    return MixedTask(kind, api.Task(data=code), state, stdout)


def short_python(number: int, _dice: random.Random) -> MixedTask:
    """Prints at once."""
    return _batch("short python", f"python:print({number} * 2)", f"{number * 2}\n")


def bash(number: int, _dice: random.Random) -> MixedTask:
    """Reads its input."""
    made = _batch("bash", "bash:read line; echo $line", f"{number}\n")
    made.task.stdin = f"{number}\n".encode()
    return made


def go(number: int, _dice: random.Random) -> MixedTask:
    """Compiled; few sources, so that some are compiled already."""
    which = number % 4
    code = f'go:package main\nimport "fmt"\nfunc main() {{ fmt.Println("go", {which}) }}\n'
    return _batch("go", code, f"go {which}\n")


def long_python(number: int, dice: random.Random) -> MixedTask:
    """Runs for seconds, and tells at the end."""
    seconds = round(dice.uniform(1, 6), 1)
    return _batch(
        "long python", f"python:import time\ntime.sleep({seconds})\nprint('slept', {number})", f"slept {number}\n"
    )


def failing(number: int, _dice: random.Random) -> MixedTask:
    """Fails, and is not retried."""
    return _batch("failing", f"python:print({number})\nraise SystemExit(3)", f"{number}\n", FAILED)


def retried_by_itself(number: int, _dice: random.Random) -> MixedTask:
    """Fails at first, and succeeds when it is retried."""
    code = f"python:import os\nif os.environ['ATTEMPT'] == '1': raise SystemExit(1)\nprint('again', {number})"
    made = _batch("retried", code, f"again {number}\n")
    made.task.retry.MergeFrom(api.Retry(max_attempts=3, backoff=Duration(nanos=300_000_000)))
    return made


def retried_by_client(number: int, _dice: random.Random) -> MixedTask:
    """Fails for good, and is then retried by whoever submitted it."""
    code = f"python:import os\nif os.environ['ATTEMPT'] == '1': raise SystemExit(1)\nprint('later', {number})"
    made = api.Task(data=code)
    return MixedTask("retried by client", made, SUCCEEDED, f"later {number}\n", retry_when_failed=True)


def cancelled(_number: int, dice: random.Random) -> MixedTask:
    """Would run for long, and is cancelled."""
    made = api.Task(data="python:import time\ntime.sleep(90)")
    return MixedTask("cancelled", made, CANCELLED, None, cancel_after_seconds=dice.uniform(0, 3))


def split_lines(number: int, _dice: random.Random) -> MixedTask:
    """A filter over lines, in six parts."""
    lines = "".join(f"{number} {line}\n" for line in range(24))
    code = "python:import sys, time\ntime.sleep(0.2)\nsys.stdout.write(sys.stdin.read())"
    made = api.Task(data=code, strategy="split", split=api.Split(chunks=6, lines=lines.encode()))
    return MixedTask("split lines", made, SUCCEEDED, lines)


def split_reduce(number: int, _dice: random.Random) -> MixedTask:
    """A sum over a range, in eight parts and a reduce."""
    code = "python:import os\nprint(sum(range(int(os.environ['RANGE_START']), int(os.environ['RANGE_STOP']))))"
    reduce = "python:import sys, json\nprint(sum(int(json.loads(line)['stdout']) for line in sys.stdin))"
    stop = 1000 + number
    split = api.Split(chunks=8, range=api.Range(start=0, stop=stop), reduce=reduce)
    return MixedTask(
        "split reduce", api.Task(data=code, strategy="split", split=split), SUCCEEDED, f"{sum(range(stop))}\n"
    )


def split_with_one_bad(number: int, _dice: random.Random) -> MixedTask:
    """One of five parts fails for good, and is forgiven."""
    code = f"python:import os\nif os.environ['CHUNK_INDEX'] == '2': raise SystemExit(1)\nprint({number})"
    split = api.Split(chunks=5, min_succeeded=4)
    return MixedTask("split, one bad", api.Task(data=code, strategy="split", split=split), SUCCEEDED, f"{number}\n" * 4)


def large_output(number: int, _dice: random.Random) -> MixedTask:
    """Writes more than a message holds; a runner whose disk is full cannot keep it, and another has to."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    code = f"python:print('{digest}' * {LARGE_BYTES // 64}, end='')"
    made = _batch("large output", code, digest * (LARGE_BYTES // 64))
    made.task.retry.MergeFrom(api.Retry(max_attempts=6, backoff=Duration(seconds=1)))
    return made


KINDS: dict[Callable[[int, random.Random], MixedTask], int] = {
    short_python: 30,
    bash: 10,
    go: 6,
    long_python: 10,
    failing: 6,
    retried_by_itself: 8,
    retried_by_client: 4,
    cancelled: 5,
    split_lines: 8,
    split_reduce: 8,
    split_with_one_bad: 3,
    large_output: 2,
}


def mixed_task(number: int, seed: int) -> MixedTask:
    """The task of this number in the stream of a seed."""
    dice = random.Random(f"{seed}/{number}")
    made = dice.choices([*KINDS], [*KINDS.values()])[0](number, dice)
    made.task.task_id = f"chaos-{number}"
    made.task.priority = dice.choice(PRIORITIES)
    return made
