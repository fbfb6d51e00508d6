"""Spans of publishing and processing messages, by OpenTelemetry's conventions for messaging; used by both brokers.

Promises: a kept message is traced, any other is not; a message goes out with its trace in its headers, as W3C writes
it; a handler runs in the trace of its delivery and in no other, whoever's task it was started from.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from structlog.contextvars import bind_contextvars

from taskandgo.broker.broker import Delivery
from taskandgo.broker.topology import (
    DISPATCHER_CHUNK_FINISHED,
    DISPATCHER_TASK_CANCELLED,
    DISPATCHER_TASK_SUBMITTED,
    EXCHANGE,
    MONITOR_TASK_FINISHED,
    ROUTES,
    runner_chunk_ready,
)
from taskandgo.messages import ChunkFinished, ChunkReady, Message, TaskFinished, TaskSubmitted
from taskandgo.telemetry.tracing import NOTHING, TASK_ID, Carrier, recorder
from taskandgo.words import Outcome

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link

    from taskandgo.telemetry.recorder import Recorder

NO_HEADERS: AbstractContextManager[Carrier] = nullcontext({})
RABBITMQ, MEMORY = "rabbitmq", "memory"
#: Where a task is moved on; whoever else hears of it only counts or shows it, and gets no span for that.
PROCESSED = (DISPATCHER_TASK_SUBMITTED, DISPATCHER_CHUNK_FINISHED, DISPATCHER_TASK_CANCELLED, MONITOR_TASK_FINISHED)
PROCESSED_NAMES = frozenset(queue.name for queue in PROCESSED)
CHUNK_READY = runner_chunk_ready("").name
#: The keys that have a task's id in them, by what is before their first field.
OF_A_TASK = {route.key.partition("{")[0]: route.key for route in ROUTES.values() if "{task_id}" in route.key}


class MessageSpans:
    """The spans of one broker's messages."""

    def __init__(self, system: str, url: str = "") -> None:
        server = urlsplit(url)
        self._broker: dict[str, str | int] = {"messaging.system": system}
        if server.hostname:
            self._broker |= {"server.address": server.hostname, "server.port": server.port or 5672}

    def publishing(self, message: Message, key: str) -> AbstractContextManager[Carrier]:
        """Around the publishing of a kept message under its routing key; gives the headers that it goes out with."""
        found = recorder()
        if found is None:
            return NO_HEADERS
        parent, links = _place(found, message)
        # Most are not, under load, and shall cost as little as they can.
        return (
            self._publishing(message, key, parent, links)
            if found.records(parent)
            else nullcontext(found.carrier(parent))
        )

    def processing(self, queue: str, delivery: Delivery) -> AbstractContextManager[None]:
        """Around the handling of a delivery."""
        found = recorder()
        if found is None:
            return NOTHING
        trace = found.context_of(delivery.headers)
        moves_on = queue in PROCESSED_NAMES or queue.startswith(CHUNK_READY)
        if not moves_on or not found.records(trace):
            return found.within(trace)
        attributes = self._attributes("process", "process", delivery.routing_key, f":{queue}")
        return found.span(f"process {_template(delivery.routing_key)}:{queue}", "consumer", attributes, trace)

    @contextmanager
    def _publishing(
        self, message: Message, key: str, parent: "Context | None", links: "list[Link]"
    ) -> Iterator[Carrier]:
        found = recorder()
        assert found is not None
        if isinstance(message, ChunkFinished) and message.result.outcome is not Outcome.SUCCEEDED:
            found.fail(f"{message.result.outcome}: {message.result.reason}")
        attributes = self._attributes("publish", "send", key, "") | _about(message)
        with found.span(f"publish {_template(key)}", "producer", attributes, parent, links):
            yield found.carrier()

    def _attributes(self, name: str, kind: str, key: str, queue: str) -> dict[str, str | int]:
        template = _template(key)
        own = {
            "messaging.operation.name": name,
            "messaging.operation.type": kind,
            "messaging.destination.name": f"{EXCHANGE}:{key}{queue}",
        }
        if self._broker["messaging.system"] == RABBITMQ:
            own["messaging.rabbitmq.destination.routing_key"] = key
        if not template.endswith(key):
            own["messaging.destination.template"] = template + queue
        return self._broker | own


def note(message: Message) -> None:
    """What is handled from now on is this message: its task is in every line that is logged, and in the span."""
    task_id = message.task.task_id if isinstance(message, TaskSubmitted) else getattr(message, "task_id", "")
    if not task_id:
        return
    bind_contextvars(task_id=task_id)
    if (found := recorder()) and found.records(None):
        found.note(_about(message))


def _place(found: "Recorder", message: Message) -> "tuple[Context | None, list[Link]]":
    """The parent of a message's span (None: what runs now), and what it is linked to."""
    match message:
        case TaskSubmitted(task=task):
            # Whoever publishes it, when first and when again: it is what it was when the task was accepted.
            parent = found.context_of(task.trace)
            return parent, found.links_to_current(parent)
        case TaskFinished():
            return found.announced(), []
        case _:
            return None, []


def carried(headers: Mapping[str, object]) -> dict[str, str]:
    """The trace in a message's headers, to be sent on."""
    return {name: str(headers[name]) for name in ("traceparent", "tracestate") if name in headers}


def _template(key: str) -> str:
    """Where it goes, without what is different for every task."""
    return f"{EXCHANGE}:" + next((whole for known, whole in OF_A_TASK.items() if key.startswith(known)), key)


def _about(message: Message) -> dict[str, str | int]:
    match message:
        case TaskSubmitted(task=task):
            return {TASK_ID: task.task_id}
        case ChunkReady():
            return _attempt(message.task_id, message.chunk_index, message.attempt)
        case ChunkFinished():
            about = _attempt(message.task_id, message.chunk_index, message.attempt)
            return about | {"taskandgo.outcome": message.result.outcome.value}
        case TaskFinished():
            return {TASK_ID: message.task_id, "taskandgo.task.state": message.state.value}
        case _:
            task_id = getattr(message, "task_id", "")
            return {TASK_ID: task_id} if task_id else {}


def _attempt(task_id: str, chunk_index: int, attempt: int) -> dict[str, str | int]:
    return {TASK_ID: task_id, "taskandgo.chunk.index": chunk_index, "taskandgo.attempt": attempt}
