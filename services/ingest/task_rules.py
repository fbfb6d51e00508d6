"""What a submitted task must be like: turns a Task of the API into a TaskSpec, or says every field that is wrong.

Pure: no I/O. A field that is laid out but not honoured yet is refused with UNIMPLEMENTED, never ignored. What limits
must be like is in limit_rules.py.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import grpc

from services.ingest.limit_rules import limit_violations, limits_of
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import RefusalError, Violation, invalid
from taskandgo.task import TaskSpec
from taskandgo.words import LANGUAGES, Priority, Strategy

TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
POOL = re.compile(r"[a-z][a-z0-9-]{0,62}")
LABEL_KEY = re.compile(r"[A-Za-z0-9._/-]{1,63}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_ENV = re.compile(r"(LD_|PYTHON|GO|GLIBC_|MALLOC_|BASH_|CHUNK_|RANGE_).*|TASK_ID|ATTEMPT|PATH|HOME|ENV|IFS")
MAX_LABELS, MAX_LABEL_VALUE, MAX_ENV, MAX_ENV_BYTES = 32, 256, 64, 32 * 1024
SHOWN = 40

PRIORITIES = {priority.word: priority for priority in Priority}
NOT_HONOURED = ("split", "retry", "not_before", "deadline")


@dataclass(frozen=True, slots=True)
class TaskRules:
    """The server's own bounds."""

    default_strategy: Strategy
    max_data_bytes: int
    max_timeout_seconds: float

    def spec(self, task: api.Task, now: datetime) -> TaskSpec:
        """The task as it will be kept; RefusalError names every field that is wrong."""
        if violations := tuple(self._violations(task)):
            raise invalid(*violations)
        _refuse_not_honoured(task)
        language, code = task.data.split(":", 1)
        return TaskSpec(
            task_id=task.task_id or f"task-{uuid.uuid4().hex}",
            priority=PRIORITIES[task.priority or "normal"],
            language=language,
            code=code,
            queued_at=now,
            strategy=Strategy(task.strategy or self.default_strategy),
            pool=task.pool or "default",
            labels=dict(task.labels),
            env=dict(task.env),
            stdin=task.stdin,
            limits=limits_of(task.limits),
        )

    def _violations(self, task: api.Task) -> Iterator[Violation]:
        yield from _names(task)
        yield from self._data(task)
        yield from _labels(task)
        yield from _env(task)
        yield from limit_violations(task.limits, self.max_timeout_seconds)

    def _data(self, task: api.Task) -> Iterator[Violation]:
        supported = ", ".join(f"{name}:" for name in LANGUAGES)
        language, colon, code = task.data.partition(":")
        size = len(task.data.encode()) + len(task.stdin)
        if size > self.max_data_bytes:
            yield Violation("task.data", f"is {size} bytes with stdin; at most {self.max_data_bytes} are allowed")
        elif not task.data:
            yield Violation("task.data", f"is empty; give the code behind a language prefix, one of {supported}")
        elif not colon or language not in LANGUAGES:
            start = task.data[:20]
            yield Violation(
                "task.data",
                f"begins with {start!r}; it needs a language prefix, one of {supported} as in python:print(1)",
            )
        elif not code.strip():
            yield Violation("task.data", f"has no code behind the prefix {language}:")
        if "\0" in task.data:
            yield Violation("task.data", "has a NUL character; code is text without NUL")


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


def _refuse_not_honoured(task: api.Task) -> None:
    names = [f"task.{name}" for name in NOT_HONOURED if task.HasField(name)]  # type: ignore[arg-type]
    if names:
        message = f"this server does not honour {', '.join(names)} yet; leave it out"
        raise RefusalError(grpc.StatusCode.UNIMPLEMENTED, message)


def _short(text: str) -> str:
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}… ({len(text)} characters)"
