"""What runs on this runner now, so that it can be cancelled, waited for, and told from what died elsewhere."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

Key = tuple[str, int, int]
REMEMBERED = 10_000


class RunningChunk:
    """One attempt under way."""

    def __init__(self) -> None:
        self.cancelled = False
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


class RunningChunks:
    """All attempts under way, by task, chunk and attempt; and the tasks cancelled lately."""

    def __init__(self) -> None:
        self._running: dict[Key, RunningChunk] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        """How many slots are busy."""
        return len(self._running)

    def get(self, key: Key) -> RunningChunk | None:
        """The attempt, if it is under way here."""
        return self._running.get(key)

    def begin(self, key: Key) -> RunningChunk:
        """The attempt is under way."""
        chunk = self._running[key] = RunningChunk()
        chunk.cancelled = key[0] in self._cancelled
        return chunk

    def is_cancelled(self, task_id: str) -> bool:
        """Whether the task was cancelled lately."""
        return task_id in self._cancelled

    def end(self, key: Key) -> None:
        """The attempt is over; `published` says whether its result is out."""
        self._running.pop(key).ended.set()

    def cancel_task(self, task_id: str) -> None:
        """Kill every attempt of the task, and let none of those still queued start."""
        self._cancelled[task_id] = None
        if len(self._cancelled) > REMEMBERED:
            self._cancelled.popitem(last=False)
        for key, chunk in self._running.items():
            if key[0] == task_id:
                chunk.cancel()
