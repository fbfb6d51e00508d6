"""Writes a task's output as it comes: exact bytes, in order, nothing twice; the result fills what did not come.

The output of a task of many chunks is what its result says: theirs, in their order, or the reduce's.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from taskandgo.api import scheduler_pb2 as api

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

Write = Callable[[bytes], None]


class LiveOutput:
    """Both streams of one task, each on its way to where it is written; not `live`: only once there is a result.

    Who comes late begins with the first block that comes; `missed` says how many bytes were before it.
    """

    def __init__(self, write_stdout: Write, write_stderr: Write, *, live: bool = True, late: bool = False) -> None:
        self._live = live
        self._late = late
        self.missed = 0
        self._write: dict[int, Write] = {
            api.Output.STREAM_STDOUT: write_stdout,
            api.Output.STREAM_STDERR: write_stderr,
        }
        self._written: dict[tuple[int, int, int], int] = {}

    def add(self, output: api.Output) -> None:
        """Write the part of the block that continues the stream; after a gap, leave it to the result."""
        if not self._live:
            return
        key = (output.stream, output.chunk_index, output.attempt)
        if self._late and key not in self._written:
            self._written[key] = output.offset
            self.missed += output.offset
        self._continue(key, output.offset, output.data or output.text.encode())

    def finish(self, task: api.TaskStatus) -> None:
        """Write what the result has beyond what came live."""
        result = task.result
        self._continue((api.Output.STREAM_STDOUT, 0, result.attempt), 0, result.stdout_bytes or result.stdout.encode())
        self._continue((api.Output.STREAM_STDERR, 0, result.attempt), 0, result.stderr_bytes or result.stderr.encode())

    async def finish_whole(self, stub: "SchedulerAsyncStub", task: api.TaskStatus) -> None:
        """The same, and then what the result has no room for."""
        self.finish(task)
        result = task.result
        kept = {
            api.Output.STREAM_STDOUT: result.stdout_kept_bytes,
            api.Output.STREAM_STDERR: result.stderr_kept_bytes,
        }
        for stream, kept_bytes in kept.items():
            key, place = (stream, 0, result.attempt), 0
            if self._written.get(key, 0) >= kept_bytes:
                continue
            async for part in stub.ReadOutput(api.ReadOutputRequest(task_id=task.task_id, stream=stream)):
                self._continue(key, place, part.data)
                place += len(part.data)

    def _continue(self, key: tuple[int, int, int], offset: int, block: bytes) -> None:
        written = self._written.get(key, 0)
        end = offset + len(block)
        if offset > written or end <= written:
            return
        self._write[key[0]](block[written - offset :])
        self._written[key] = end
