"""Sets a task's large input aside, to be stored as a blob, so that what travels in messages is small. Pure.

Promises: whoever uploads the same input first and refers to it submits the same content.
"""

import hashlib
from collections.abc import AsyncIterator

import msgspec

from taskandgo.api import scheduler_pb2 as api
from taskandgo.blob_access import INLINE_BYTES
from taskandgo.task import BlobRef, Items, Lines, LinesBlob, TaskSpec

#: Input that is not worth a blob, however large the code is.
LEAST_BYTES = 32 * 1024


def large_input(task: TaskSpec) -> bytes:
    """The task's input, if it makes the task too large for a message; else nothing."""
    match task.split.by if task.split else None:
        case Lines(text=text):
            content = text
        case Items(json=items):
            # As its chunks read them: one a line.
            content = "".join(f"{item}\n" for item in items).encode()
        case _:
            content = task.stdin
    large = len(content) > LEAST_BYTES and len(task.code) + len(content) > INLINE_BYTES
    return content if large else b""


def set_aside(spec: TaskSpec, task: api.Task, content: bytes) -> tuple[TaskSpec, api.Task]:
    """The task, both as it is kept and as it was sent, with a reference in the place of its input."""
    blob = BlobRef(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    sent = api.Task()
    sent.CopyFrom(task)
    if spec.stdin or spec.split is None:
        sent.stdin, sent.stdin_blob = b"", blob.sha256
        return msgspec.structs.replace(spec, stdin=b"", stdin_blob=blob), sent
    sent.split.lines_blob = blob.sha256
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    split = msgspec.structs.replace(spec.split, by=LinesBlob(blob=blob, lines=lines))
    return msgspec.structs.replace(spec, split=split), sent


async def one_block(content: bytes) -> AsyncIterator[bytes]:
    """All of it as a stream, in parts that are quickly dealt with."""
    for place in range(0, len(content), INLINE_BYTES):
        yield content[place : place + INLINE_BYTES]
