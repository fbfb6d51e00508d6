"""Many callers, one commit: what is submitted while a flush runs goes together in the next one.

Work that nobody waits for may linger, so that more of it shares a commit.

Promises: a caller is answered after its own item is committed; an item that cannot be committed fails alone; a
caller that gives up takes nobody with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from taskandgo.errors import AwayError
from taskandgo.telemetry.metrics import OTHER
from taskandgo.telemetry.process_metrics import PROCESS

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Item, Answer]):
    """Collects items and flushes them together, at most `largest` at a time, `linger_seconds` after the first.

    `work` is what the metrics call it.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        largest: int = 400,
        linger_seconds: float = 0.0,
        work: str = OTHER,
    ) -> None:
        self._size = PROCESS.group_commit_size.labels(work)
        self._flush = flush
        self._largest = largest
        self._linger_seconds = linger_seconds
        self._hurried = asyncio.Event()
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """The answer to the item, once it is committed."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush_all())
        return await answer

    async def drain(self) -> None:
        """Return when nothing is waiting and no flush is under way."""
        self._hurried.set()
        while self._flushing is not None:
            await asyncio.wait([self._flushing])

    async def _flush_all(self) -> None:
        while self._waiting:
            if self._linger_seconds:
                await self._linger()
            batch, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
            await self._flush_batch(batch)
        self._flushing = None

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(self._linger_seconds):
                await self._hurried.wait()
        except TimeoutError:
            pass

    async def _flush_batch(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        self._size.observe(len(batch))
        try:
            answers = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller gets the error
            await self._fail(batch, error)
            return
        for (_, answer), said in zip(batch, answers, strict=True):
            if not answer.done():
                answer.set_result(said)

    async def _fail(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]], error: Exception) -> None:
        if len(batch) > 1 and not isinstance(error, AwayError):
            # One of them is at fault, and the others would be given up with it.
            for one in batch:
                await self._flush_batch([one])
            return
        for _, answer in batch:
            if not answer.done():
                answer.set_exception(error)
