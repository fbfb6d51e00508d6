"""Hears every event on the broker, through a connection of its own that survives what the broker goes through."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from taskandgo.broker.broker import Ack, Broker, Delivery, Disposition
from taskandgo.broker.connect import open_broker
from taskandgo.broker.topology import listener
from taskandgo.errors import UndecodableError
from taskandgo.messages import ChunkFinished, ChunkStarted, Message, TaskFinished, decode
from taskandgo.settings import BrokerSettings


@dataclass
class Listener:
    """What was heard; outputs are left out, since nobody needs them again."""

    broker: Broker
    heard: list[Message] = field(default_factory=list)

    async def __call__(self, delivery: Delivery) -> Disposition:
        """Remember a message."""
        try:
            message = decode(delivery.body)
        except UndecodableError:
            return Ack()
        if isinstance(message, (ChunkStarted, ChunkFinished, TaskFinished)):
            self.heard.append(message)
        return Ack()

    def of(self, kind: type[Message]) -> Iterable[Message]:
        """What was heard of one kind."""
        return (message for message in self.heard if isinstance(message, kind))

    @property
    def contradictions(self) -> list[str]:
        """Tasks of which two ends were told that cannot both be true."""
        told: dict[tuple[str, object], TaskFinished] = {}
        found = []
        for message in self.heard:
            if isinstance(message, TaskFinished):
                # An end is known by its instant: another end has another one.
                first = told.setdefault((message.task_id, message.finished_at), message)
                if (first.state, first.outcome) != (message.state, message.outcome):
                    found.append(f"task {message.task_id} is told to be {first.state} and {message.state}")
        return found


@asynccontextmanager
async def listening(broker_url: str) -> AsyncIterator[Listener]:
    """Listen while the context lasts."""
    settings = BrokerSettings(broker_url=broker_url, broker_heartbeat_seconds=6)
    async with open_broker(settings) as broker:
        heard = Listener(broker)
        queue = listener("chaos.listener", "chunk.started.#", "chunk.finished", "task.finished.#")
        await broker.consume(queue, heard, prefetch=1000)
        yield heard
