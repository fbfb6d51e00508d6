"""What runs on this runner now or waits for a slot, so that it can be cancelled, waited for, and told from what died.

Promises: what was cancelled lately does not start here either, should it still be in the queue.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Key = tuple[str, int, int]
#: For so long, since a task that was removed may come again under its id; what starts later is cancelled once more.
REMEMBERED, REMEMBERED_SECONDS = 10_000, 600.0


class RunningChunk:
    """One attempt that is here; `begun` once it has a slot, `published` once its result is out."""

    def __init__(self, *, cancelled: bool = False) -> None:
        self.begun = False
        self.cancelled = cancelled
        self.handed_back = False
        self.published = False
        self.ended = asyncio.Event()
        self._kill: Callable[[], None] | None = None

    def on_cancel(self, kill: Callable[[], None]) -> None:
        """Call `kill` once the attempt is cancelled; at once if it already is."""
        self._kill = kill
        if self.cancelled:
            kill()

    def cancel(self) -> None:
        """Kill what runs of it, now or as soon as it starts."""
        self.cancelled = True
        if self._kill:
            self._kill()


class Lately(OrderedDict[Key | str, tuple[int | None, float]]):
    """What was cancelled last, each up to an attempt (None: all); older ones are forgotten."""

    def put(self, key: Key | str, last_attempt: int | None = None) -> None:
        """Remember this, and forget the oldest if there are too many."""
        self[key] = last_attempt, time.monotonic()
        self.move_to_end(key)
        if len(self) > REMEMBERED:
            self.popitem(last=False)

    def covers(self, key: Key | str, attempt: int) -> bool:
        """Whether this attempt was cancelled lately."""
        last_attempt, put_at = self.get(key, (0, float("-inf")))
        return time.monotonic() - put_at < REMEMBERED_SECONDS and _covers(last_attempt, attempt)


class RunningChunks:
    """All attempts that are here, by task, chunk and attempt; and what was cancelled lately."""

    def __init__(self) -> None:
        self._chunks: dict[Key, RunningChunk] = {}
        self._cancelled_chunks = Lately()
        self._cancelled_tasks = Lately()

    def __len__(self) -> int:
        """How many slots are busy."""
        return len(self.keys())

    @contextmanager
    def taken(self, key: Key) -> Iterator[RunningChunk]:
        """The attempt is here while the context lasts; there must be no other copy of it."""
        chunk = self._chunks[key] = RunningChunk(cancelled=self._is_cancelled(key))
        try:
            yield chunk
        finally:
            del self._chunks[key]
            chunk.ended.set()

    def get(self, key: Key) -> RunningChunk | None:
        """The attempt, if it is here."""
        return self._chunks.get(key)

    def held(self) -> list[Key]:
        """Every attempt that is here."""
        return list(self._chunks)

    def keys(self) -> frozenset[Key]:
        """The attempts that have a slot."""
        return frozenset(key for key, chunk in self._chunks.items() if chunk.begun)

    def hand_back(self) -> None:
        """Kill everything, and start nothing that waits, so that others can run it."""
        for chunk in self._chunks.values():
            chunk.handed_back = True
            chunk.cancel()

    def cancel_chunk(self, key: Key) -> None:
        """Kill the attempt, and do not let it start if it is still queued."""
        self._cancelled_chunks.put(key)
        if chunk := self._chunks.get(key):
            chunk.cancel()

    def cancel_task(self, task_id: str, last_attempt: int | None) -> None:
        """Kill the task's attempts up to the last one meant (None: all), and let none of those queued start."""
        self._cancelled_tasks.put(task_id, last_attempt)
        for key, chunk in self._chunks.items():
            if key[0] == task_id and _covers(last_attempt, key[2]):
                chunk.cancel()

    def _is_cancelled(self, key: Key) -> bool:
        task_id, _, attempt = key
        return self._cancelled_chunks.covers(key, attempt) or self._cancelled_tasks.covers(task_id, attempt)


def _covers(last_attempt: int | None, attempt: int) -> bool:
    return last_attempt is None or attempt <= last_attempt
