"""Runs because a client sends tasks for as long as it likes: each gets its answer, in the order they came.

Promises: what was taken and not answered is bounded, in number and in size; beyond, nothing is read, and gRPC's
flow control stops the client. A client that hangs up ends what has not been accepted.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.ingest.submit_task import SubmitTask, refused
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import RefusalError

#: Enough for the store to commit many together while as many more come in.
MOST_OUTSTANDING = 1000
MOST_OUTSTANDING_BYTES = 16 * 1024 * 1024

#: One that could not be read comes as its refusal.
Requests = AsyncIterator[api.StreamTasksRequest | RefusalError]
Answering = asyncio.Task[api.SubmitTaskAnswer]


class Room:
    """How much is taken and not answered; one task fits always, however large it is."""

    def __init__(self) -> None:
        self._tasks = 0
        self._bytes = 0
        self._left = asyncio.Event()

    async def enter(self, size: int) -> None:
        """Wait until there is room for a task of this size, and take it."""
        while self._tasks and (self._tasks >= MOST_OUTSTANDING or self._bytes + size > MOST_OUTSTANDING_BYTES):
            self._left.clear()
            await self._left.wait()
        self._tasks += 1
        self._bytes += size

    def leave(self, size: int) -> None:
        """Give it back."""
        self._tasks -= 1
        self._bytes -= size
        self._left.set()


@dataclass(frozen=True, slots=True)
class StreamTasks:
    """The use case of StreamTasks."""

    submit_task: SubmitTask

    async def __call__(self, requests: Requests) -> AsyncIterator[api.StreamTasksResponse]:
        """Answers, each with the place of its task in the stream."""
        room, answering = Room(), asyncio.Queue[tuple[int, Answering] | None]()
        reading = asyncio.get_running_loop().create_task(self._read(requests, room, answering))
        try:
            index = 0
            while (taken := await answering.get()) is not None:
                size, answer = taken
                yield api.StreamTasksResponse(answer=await answer, index=index)
                room.leave(size)
                index += 1
            await reading
        finally:
            reading.cancel()
            while not answering.empty():
                if taken := answering.get_nowait():
                    taken[1].cancel()

    async def _read(
        self,
        requests: Requests,
        room: Room,
        answering: asyncio.Queue[tuple[int, Answering] | None],
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for request in requests:
                size = 0 if isinstance(request, RefusalError) else request.ByteSize()
                await room.enter(size)
                answer = loop.create_task(self._answer(request))
                answering.put_nowait((size, answer))
        finally:
            answering.put_nowait(None)

    async def _answer(self, request: api.StreamTasksRequest | RefusalError) -> api.SubmitTaskAnswer:
        return (
            refused("", request)
            if isinstance(request, RefusalError)
            else await self.submit_task.one_of_many(request.task)
        )
