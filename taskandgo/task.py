"""What a task asks for and what an attempt at it left behind: values that travel in messages and rest in the store.

Promises: frozen; a new field always has a default, so that older bytes stay readable.
"""

from datetime import datetime

import msgspec

from taskandgo.words import NOBODY, Outcome, Priority, Strategy


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frozen value that msgpack carries."""


class Limits(Value, frozen=True):
    """What one attempt may use, all its processes together; None takes the runner's default."""

    timeout_seconds: float | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    open_files: int | None = None
    disk_bytes: int | None = None
    output_bytes: int | None = None


class Code(Value, frozen=True):
    """A program's text and the language it is in."""

    language: str
    code: str


class Lines(Value, frozen=True, tag=True):
    """Cut by lines: text whose lines end with a line feed, the last one perhaps without."""

    text: bytes


class BlobRef(Value, frozen=True):
    """Bytes that the store keeps by themselves, because they are too large for a message; known by their SHA-256."""

    sha256: str
    size_bytes: int


class LinesBlob(Value, frozen=True, tag=True):
    """Cut by lines: text as `Lines` has it, in a blob, and how many lines there are."""

    blob: BlobRef
    lines: int


class Items(Value, frozen=True, tag=True):
    """Cut by items: JSON values as text, each in one line."""

    json: list[str]


class Range(Value, frozen=True, tag=True):
    """Cut by range: whole numbers from start up to but without stop, as Python's range; step is never 0."""

    start: int
    stop: int
    step: int = 1


class Split(Value, frozen=True):
    """How a task becomes chunks; `chunks` 0 is chosen by the dispatcher, `min_succeeded` 0 means all.

    `by` is the one thing that is cut; None: the chunks differ by their index alone.
    """

    chunks: int = 0
    by: Lines | LinesBlob | Items | Range | None = None
    reduce: Code | None = None
    min_succeeded: int = 0


class Retry(Value, frozen=True):
    """When an attempt that did not succeed is repeated: attempts in all, and the wait before the second one."""

    max_attempts: int = 1
    backoff_seconds: float = 1.0


class TaskSpec(Value, frozen=True):
    """A validated task, as ingest accepted it; what it reads is in `stdin`, or in `stdin_blob` when that is large.

    `watcher` is the ingest that the task's events go to unasked, since its client stayed with the submit.
    """

    task_id: str
    priority: Priority
    language: str
    code: str
    queued_at: datetime
    strategy: Strategy = Strategy.BATCH
    pool: str = "default"
    labels: dict[str, str] = {}
    env: dict[str, str] = {}
    stdin: bytes = b""
    limits: Limits = Limits()
    split: Split | None = None
    retry: Retry = Retry()
    not_before: datetime | None = None
    deadline: datetime | None = None
    stdin_blob: BlobRef | None = None
    watcher: str = NOBODY
    #: Where it belongs in the trace of whoever submitted it, as W3C's headers say it; empty if it is not traced.
    trace: dict[str, str] = {}

    @property
    def blob(self) -> BlobRef | None:
        """The blob with its input, if it has one; there is never more than one."""
        by = self.split.by if self.split else None
        return by.blob if isinstance(by, LinesBlob) else self.stdin_blob


class Usage(Value, frozen=True):
    """What an attempt used, measured by its runner."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    output_bytes: int = 0
    compile_seconds: float = 0.0
    isolation: str = ""


class AttemptResult(Value, frozen=True):
    """How an attempt ended: outcome, exit code (128 + N after signal N; None if it never ended by itself),
    the beginning of each output stream, a reason for people when it did not succeed, and its usage.

    A stream that is too large for a message is in its blob instead, as far as it was kept.
    """

    outcome: Outcome
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    reason: str = ""
    usage: Usage = Usage()
    stdout_blob: BlobRef | None = None
    stderr_blob: BlobRef | None = None
