"""Input that is too large to be sent with its task: uploaded first, as it is read, and referred to.

Promises: never more of it in memory than a part; how large input is counts, not where it comes from.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from services.cli.asked_input import open_input

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import PutBlobRequest, Task
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

#: More than this is uploaded by itself.
LARGE_BYTES = 1024 * 1024
PART_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LargeInput:
    """Input of which only the beginning has been read, and the field that is to refer to it."""

    beginning: bytes
    source: BinaryIO
    field: str


@dataclass(frozen=True, slots=True)
class Sending:
    """A task, and the input that has to be there before it."""

    task: "Task"
    large: LargeInput | None = None

    async def ready(self, stub: "SchedulerAsyncStub") -> "Task":
        """The task, once it can be submitted."""
        if self.large:
            blob = await stub.PutBlob(_parts(self.large))
            owner = self.task if self.large.field == "stdin_blob" else self.task.split
            setattr(owner, self.large.field, blob.sha256)
        return self.task


def read_or_leave(path: Path, option: str, field: str) -> tuple[bytes, LargeInput | None]:
    """The file's bytes; or, when they are many, none of them and what is to be uploaded."""
    source = open_input(path, option)
    beginning = source.read(LARGE_BYTES + 1)
    if len(beginning) > LARGE_BYTES:
        return b"", LargeInput(beginning, source, field)
    source.close()
    return beginning, None


async def _parts(large: LargeInput) -> "AsyncIterator[PutBlobRequest]":
    from taskandgo.api import scheduler_pb2 as api  # noqa: PLC0415 - keeps --help fast

    yield api.PutBlobRequest(data=large.beginning)
    with large.source as source:
        while part := source.read(PART_BYTES):
            yield api.PutBlobRequest(data=part)
