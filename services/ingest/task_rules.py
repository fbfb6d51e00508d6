"""What a submitted task must be like: turns a Task of the API into a TaskSpec, or says every field that is wrong.

Pure: no I/O. What limits, `split`, `retry` and the instants must be like has files of its own.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from services.ingest.blob_rules import NO_BLOBS, Blobs, blob_violations, ref
from services.ingest.code_rules import code_of, code_violations
from services.ingest.instant_rules import deadline_of, instant_violations, not_before_of
from services.ingest.limit_rules import limit_violations, limits_of
from services.ingest.retry_rules import retry_of, retry_violations
from services.ingest.split_rules import input_sizes, split_of, split_violations
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import Violation, invalid
from taskandgo.task import TaskSpec
from taskandgo.words import Priority, Strategy

TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
POOL = re.compile(r"[a-z][a-z0-9-]{0,62}")
LABEL_KEY = re.compile(r"[A-Za-z0-9._/-]{1,63}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_ENV = re.compile(r"(LD_|PYTHON|GO|GLIBC_|MALLOC_|BASH_|CHUNK_|RANGE_).*|TASK_ID|ATTEMPT|PATH|HOME|ENV|IFS")
MAX_LABELS, MAX_LABEL_VALUE, MAX_ENV, MAX_ENV_BYTES = 32, 256, 64, 32 * 1024
SHOWN = 40
INPUT = ("task.stdin", "task.split.lines", "task.split.items")

PRIORITIES = {priority.word: priority for priority in Priority}


@dataclass(frozen=True, slots=True)
class TaskRules:
    """The server's own bounds."""

    default_strategy: Strategy
    max_data_bytes: int
    max_timeout_seconds: float
    max_chunks: int
    #: How large a task's input may be; 0: there are no blobs, and input counts like code.
    max_blob_bytes: int = 0

    def spec(self, task: api.Task, now: datetime, blobs: Blobs = NO_BLOBS) -> TaskSpec:
        """The task as it will be kept; RefusalError names every field that is wrong.

        `blobs` are those that it refers to, as far as they are there.
        """
        if violations := tuple(self._violations(task, now, blobs)):
            raise invalid(*violations)
        code = code_of(task.data)
        return TaskSpec(
            task_id=task.task_id or f"task-{uuid.uuid4().hex}",
            priority=PRIORITIES[task.priority or "normal"],
            language=code.language,
            code=code.code,
            queued_at=now,
            strategy=self._strategy(task),
            pool=task.pool or "default",
            labels=dict(task.labels),
            env=dict(task.env),
            stdin=task.stdin,
            limits=limits_of(task.limits),
            stdin_blob=ref(blobs[task.stdin_blob]) if task.stdin_blob else None,
            split=split_of(task.split, blobs) if task.HasField("split") else None,
            retry=retry_of(task.retry),
            not_before=not_before_of(task, now),
            deadline=deadline_of(task),
        )

    def _strategy(self, task: api.Task) -> Strategy:
        if task.HasField("split"):
            return Strategy.SPLIT
        return Strategy(task.strategy or self.default_strategy)

    def _violations(self, task: api.Task, now: datetime, blobs: Blobs) -> Iterator[Violation]:
        yield from _names(task)
        yield from self._size(task)
        yield from blob_violations(task, blobs, kept=self.max_blob_bytes > 0)
        yield from code_violations("task.data", task.data)
        yield from _labels(task)
        yield from _env(task)
        yield from limit_violations(task.limits, self.max_timeout_seconds)
        if task.HasField("split"):
            yield from split_violations(task, self.max_chunks, blobs)
        if task.HasField("retry"):
            yield from retry_violations(task.retry)
        yield from instant_violations(task, now)

    def _size(self, task: api.Task) -> Iterator[Violation]:
        sizes = {"task.data": len(task.data.encode()), "task.stdin": len(task.stdin)}
        if task.HasField("split"):
            sizes |= input_sizes(task.split)
        if self.max_blob_bytes:
            # There is never more than one of them.
            inputs = {name: sizes.pop(name, 0) for name in INPUT}
            for name, size in inputs.items():
                if size > self.max_blob_bytes:
                    yield Violation(name, f"is {size} bytes; at most {self.max_blob_bytes} are allowed")
        if (total := sum(sizes.values())) > self.max_data_bytes:
            largest = max(sizes, key=sizes.__getitem__)
            what = "code" if self.max_blob_bytes else "code and input together"
            allowed = f"at most {self.max_data_bytes} are allowed for {what}"
            yield Violation(largest, f"is {sizes[largest]} bytes of {total} in all; {allowed}")


def _names(task: api.Task) -> Iterator[Violation]:
    if task.task_id and not TASK_ID.fullmatch(task.task_id):
        allowed = "1 to 128 characters out of A-Z a-z 0-9 . _ : -, the first a letter or a digit"
        yield Violation("task.task_id", f"is {_short(task.task_id)}; allowed are {allowed}")
    if task.priority and task.priority not in PRIORITIES:
        yield Violation("task.priority", f"is {_short(task.priority)}; allowed are {', '.join(PRIORITIES)}")
    if task.strategy and task.strategy not in set(Strategy):
        yield Violation("task.strategy", f"is {_short(task.strategy)}; allowed are {', '.join(Strategy)}")
    if task.pool and not POOL.fullmatch(task.pool):
        allowed = "1 to 63 characters out of a-z 0-9 -, the first a letter"
        yield Violation("task.pool", f"is {_short(task.pool)}; allowed are {allowed}")


def _labels(task: api.Task) -> Iterator[Violation]:
    if len(task.labels) > MAX_LABELS:
        yield Violation("task.labels", f"has {len(task.labels)} pairs; at most {MAX_LABELS} are allowed")
    for key, value in task.labels.items():
        if not LABEL_KEY.fullmatch(key):
            allowed = "1 to 63 characters out of A-Z a-z 0-9 . _ / -"
            yield Violation("task.labels", f"has the key {_short(key)}; allowed are {allowed}")
        if len(value) > MAX_LABEL_VALUE or "\0" in value:
            allowed = f"at most {MAX_LABEL_VALUE} characters, no NUL"
            yield Violation(f"task.labels[{_short(key)}]", f"has {len(value)} characters; allowed are {allowed}")


def _env(task: api.Task) -> Iterator[Violation]:
    size = sum(len(name.encode()) + len(value.encode()) for name, value in task.env.items())
    if len(task.env) > MAX_ENV or size > MAX_ENV_BYTES:
        allowed = f"at most {MAX_ENV} pairs and {MAX_ENV_BYTES} bytes"
        yield Violation("task.env", f"has {len(task.env)} pairs of {size} bytes in all; allowed are {allowed}")
    for name, value in task.env.items():
        if not ENV_NAME.fullmatch(name):
            allowed = "A-Z a-z 0-9 _, the first no digit"
            yield Violation("task.env", f"has the name {_short(name)}; allowed are {allowed}")
        elif RESERVED_ENV.fullmatch(name):
            yield Violation("task.env", f"has the name {_short(name)}, which is the scheduler's or a loader's own")
        if "\0" in value:
            yield Violation(f"task.env[{_short(name)}]", "has a NUL character")


def _short(text: str) -> str:
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}… ({len(text)} characters)"
