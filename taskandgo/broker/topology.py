"""The map of the flow: every message's routing key, and every queue with what it is bound to.

Promises: this is the only place that knows names of the broker's objects; a message that is `kept` is
persistent, confirmed, and refused when no queue takes it; any other may be lost with its connection.
"""

from dataclasses import dataclass

from taskandgo.messages import (
    ChunkCancelled,
    ChunkFinished,
    ChunkOutput,
    ChunkReady,
    ChunkStarted,
    Message,
    RunnerHeartbeat,
    TaskCancelled,
    TaskFinished,
    TaskSubmitted,
)
from taskandgo.words import Priority

EXCHANGE = "taskandgo"
DEAD_LETTER_EXCHANGE = "taskandgo.dead-letter"

#: One AMQP level for each priority.
MAX_PRIORITY = int(max(Priority))


@dataclass(frozen=True, slots=True)
class Route:
    """How one message travels; `{field}` in the key is the message's field of that name."""

    key: str
    kept: bool


ROUTES: dict[type[Message], Route] = {
    TaskSubmitted: Route("task.submitted", kept=True),
    ChunkReady: Route("chunk.ready.{pool}", kept=True),
    ChunkStarted: Route("chunk.started.{watcher}.{task_id}", kept=False),
    ChunkOutput: Route("chunk.output.{watcher}.{task_id}", kept=False),
    ChunkFinished: Route("chunk.finished", kept=True),
    TaskFinished: Route("task.finished.{watcher}.{task_id}", kept=True),
    TaskCancelled: Route("task.cancelled", kept=True),
    ChunkCancelled: Route("chunk.cancelled", kept=False),
    RunnerHeartbeat: Route("runner.heartbeat", kept=False),
}


def routing_key(message: Message) -> str:
    """The key the message is published under."""
    return ROUTES[type(message)].key.format_map(_Fields(message))


def priority_of(message: Message) -> Priority:
    """How urgent the message is: its task's priority where it has one."""
    if isinstance(message, TaskSubmitted):
        return message.task.priority
    if isinstance(message, ChunkReady):
        return message.priority
    return Priority.NORMAL


class _Fields(dict[str, str]):
    def __init__(self, message: Message) -> None:
        self._message = message

    def __missing__(self, name: str) -> str:
        return str(getattr(self._message, name))


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue, shared by every consumer of its name; bindings are topic patterns on the exchange.

    `prioritised` gives out the most urgent message first. `max_length` bounds a queue whose messages
    may be lost, the oldest first. A `listener` belongs to one consumer and goes away with it.
    """

    name: str
    bindings: tuple[str, ...]
    prioritised: bool = False
    max_length: int | None = None
    listener: bool = False
    dead_letters: bool = False


DISPATCHER_TASK_SUBMITTED = Queue("dispatcher.task-submitted", ("task.submitted",), prioritised=True)
DISPATCHER_CHUNK_STARTED = Queue("dispatcher.chunk-started", ("chunk.started.#",))
DISPATCHER_CHUNK_FINISHED = Queue("dispatcher.chunk-finished", ("chunk.finished",))
DISPATCHER_TASK_CANCELLED = Queue("dispatcher.task-cancelled", ("task.cancelled",))
MONITOR_TASK_FINISHED = Queue("monitor.task-finished", ("task.finished.#",), max_length=1_000_000)
MONITOR_CHUNK_STARTED = Queue("monitor.chunk-started", ("chunk.started.#",), max_length=1_000_000)
MONITOR_CHUNK_FINISHED = Queue("monitor.chunk-finished", ("chunk.finished",), max_length=1_000_000)
#: Keeps every dead letter until a person has dealt with it.
DEAD_LETTER = Queue("dead-letter", (), dead_letters=True, max_length=1_000_000)
#: The monitor's copy of each dead letter, to be counted.
MONITOR_DEAD_LETTER = Queue("monitor.dead-letter", (), dead_letters=True, max_length=1_000_000)

#: What every service declares when it connects, so that a kept message always finds its queue,
#: whichever service starts first.
SHARED_QUEUES = (
    DISPATCHER_TASK_SUBMITTED,
    DISPATCHER_CHUNK_STARTED,
    DISPATCHER_CHUNK_FINISHED,
    DISPATCHER_TASK_CANCELLED,
    MONITOR_TASK_FINISHED,
    MONITOR_CHUNK_STARTED,
    MONITOR_CHUNK_FINISHED,
    DEAD_LETTER,
    MONITOR_DEAD_LETTER,
)


def runner_chunk_ready(pool: str) -> Queue:
    """The queue that all runners of a pool take from."""
    return Queue(f"runner.chunk-ready.{pool}", (f"chunk.ready.{pool}",), prioritised=True)


def listener(name: str, *bindings: str) -> Queue:
    """A queue of one consumer's own; `name` must be unique, as `<service>.<message>.<instance>` is."""
    return Queue(name, bindings, max_length=100_000, listener=True)
