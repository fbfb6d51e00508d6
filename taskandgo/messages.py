"""Every message that crosses the broker: one class a hop, named as its routing key, queue and handler file are.

Promises: msgpack, tagged with the class name; a new field always has a default, so that services one release
apart understand each other; `decode` raises UndecodableError and nothing else.
"""

from datetime import datetime

import msgspec

from taskandgo.blob_access import BlobAccess, BlobPart
from taskandgo.errors import UndecodableError
from taskandgo.task import AttemptResult, Limits, TaskSpec
from taskandgo.words import NOBODY, Outcome, Priority, Strategy, Stream, TaskState


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """What every message is."""


class TaskSubmitted(Message, frozen=True):
    """Ingest accepted a task and recorded it."""

    task: TaskSpec


class ChunkReady(Message, frozen=True):
    """A chunk may start on any free slot of its pool; `stdin` and `env` hold its share of the task's input.

    A large share is a part of a blob instead, `stdin_part`. `blobs` is how this attempt gets at blobs, its own large
    output among them; None: it cannot. `watcher` is TaskSpec's, and goes into the routing key of what the task tells.
    """

    task_id: str
    chunk_index: int
    chunk_count: int
    attempt: int
    priority: Priority
    pool: str
    language: str
    code: str
    stdin: bytes = b""
    env: dict[str, str] = {}
    limits: Limits = Limits()
    stdin_part: BlobPart | None = None
    blobs: BlobAccess | None = None
    watcher: str = NOBODY


class ChunkStarted(Message, frozen=True):
    """A runner began an attempt at a chunk."""

    task_id: str
    chunk_index: int
    attempt: int
    runner: str
    started_at: datetime
    priority: Priority = Priority.NORMAL
    language: str = ""
    watcher: str = NOBODY


class ChunkOutput(Message, frozen=True):
    """A block of what an attempt wrote; `offset` is its place in the stream, in bytes."""

    task_id: str
    chunk_index: int
    attempt: int
    stream: Stream
    offset: int
    data: bytes
    watcher: str = NOBODY


class ChunkFinished(Message, frozen=True):
    """An attempt at a chunk ended, or (outcome `lost`) is known to have died with its runner.

    `alive` with an attempt that was lost though its runner lives: it was handed back, or its result went astray.
    """

    task_id: str
    chunk_index: int
    attempt: int
    runner: str
    started_at: datetime | None
    finished_at: datetime
    result: AttemptResult
    language: str = ""
    alive: bool = False
    watcher: str = NOBODY


class TaskFinished(Message, frozen=True):
    """A task reached its final state, and its result is recorded."""

    task_id: str
    state: TaskState
    outcome: Outcome | None
    priority: Priority
    language: str
    strategy: Strategy
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime
    watcher: str = NOBODY


class TaskCancelled(Message, frozen=True):
    """A task was cancelled by a client, or expired, and the store says so: whoever works on it stops.

    Meant are its attempts up to `last_attempt` (None: all), since RetryTask may start others after them. `again`
    when a runner that had not heard of it has started the task: nobody else needs to hear it twice.
    """

    task_id: str
    again: bool = False
    last_attempt: int | None = None


class ChunkCancelled(Message, frozen=True):
    """An attempt is not needed any more, since another attempt at its chunk succeeded: whoever runs it stops."""

    task_id: str
    chunk_index: int
    attempt: int


class RunnerHeartbeat(Message, frozen=True):
    """A runner is alive: what it can do and how busy it is.

    `isolation` is how it confines code, strict or restricted; `metering` how it counts what code uses: cgroup-v1,
    cgroup-v2 or sampled. `running` holds the attempts it has taken and whose results are not out yet, each as task,
    chunk and attempt; None: it does not say. The next heartbeat comes after `interval_seconds`.
    """

    runner: str
    pool: str
    slots: int
    busy: int
    languages: list[str]
    isolation: str
    sent_at: datetime
    draining: bool = False
    metering: str = ""
    running: list[tuple[str, int, int]] | None = None
    interval_seconds: float = 5.0


AnyMessage = (
    TaskSubmitted
    | ChunkReady
    | ChunkStarted
    | ChunkOutput
    | ChunkFinished
    | TaskFinished
    | TaskCancelled
    | ChunkCancelled
    | RunnerHeartbeat
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    """The message as msgpack."""
    return _encoder.encode(message)


def decode(body: bytes) -> Message:
    """The message that `body` holds; UndecodableError says what is wrong with it."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError(f"not a message this version knows: {error}") from error
