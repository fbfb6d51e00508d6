"""The queues of the memory broker: topic matching, priority order, and who takes the next message.

Promises: strict priority, first in first out within a level, what is given back goes to the front of its
level; consumers with a free place take turns; nothing is polled.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from taskandgo.broker.topology import MAX_PRIORITY, Queue


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as it waits."""

    body: bytes
    routing_key: str
    priority: int
    redelivered: bool = False
    reason: str = ""
    rejected_from: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Consumer:
    """Takes messages while it has a free place."""

    take: Callable[[Envelope], None]
    free: int


class MemoryQueue:
    """One queue."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.patterns: set[str] = set()
        self._levels: list[deque[Envelope]] = [deque() for _ in range(MAX_PRIORITY + 1)]
        self._consumers: deque[Consumer] = deque()

    def __len__(self) -> int:
        return sum(len(level) for level in self._levels)

    def takes(self, routing_key: str) -> bool:
        """Whether a binding matches the key."""
        words = routing_key.split(".")
        return any(pattern_matches(pattern.split("."), words) for pattern in self.patterns)

    def put(self, envelope: Envelope) -> None:
        """Add a message at the end of its level."""
        self._level(envelope).append(envelope)
        self._hand_out()
        self._drop_overflow()

    def put_back(self, envelopes: list[Envelope]) -> None:
        """Return messages to the front of their levels, the first one foremost, marked as redelivered."""
        for envelope in reversed(envelopes):
            self._level(envelope).appendleft(replace(envelope, redelivered=True))
        self._hand_out()

    def join(self, consumer: Consumer) -> None:
        """Begin to hand messages to a consumer."""
        self._consumers.append(consumer)
        self._hand_out()

    def leave(self, consumer: Consumer) -> None:
        """Hand a consumer nothing more."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    def free_place(self, consumer: Consumer) -> None:
        """A place of the consumer's came free."""
        consumer.free += 1
        self._hand_out()

    def _level(self, envelope: Envelope) -> deque[Envelope]:
        return self._levels[envelope.priority if self.queue.prioritised else 0]

    def _hand_out(self) -> None:
        while (level := self._most_urgent_level()) and (consumer := self._next_free_consumer()):
            consumer.free -= 1
            consumer.take(level.popleft())

    def _most_urgent_level(self) -> deque[Envelope] | None:
        return next((level for level in reversed(self._levels) if level), None)

    def _next_free_consumer(self) -> Consumer | None:
        for _ in range(len(self._consumers)):
            consumer = self._consumers[0]
            self._consumers.rotate(-1)
            if consumer.free:
                return consumer
        return None

    def _drop_overflow(self) -> None:
        longest = self.queue.max_length
        while longest is not None and len(self) > longest:
            next(level for level in self._levels if level).popleft()


def pattern_matches(pattern: list[str], words: list[str]) -> bool:
    """Whether a topic pattern matches a key: `*` stands for one word, `#` for any number."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(pattern_matches(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and pattern_matches(pattern[1:], words[1:])
