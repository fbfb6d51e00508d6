"""How a task may refer to blobs: each by its SHA-256, which must be one that is there. Pure."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import Violation
from taskandgo.store.blob_records import BlobRecord
from taskandgo.task import BlobRef, TaskSpec

SHA256 = re.compile(r"[0-9a-f]{64}")
SHOWN = 80

#: The blobs that a task refers to, by their SHA-256, as far as they are there.
Blobs = Mapping[str, BlobRecord]
NO_BLOBS: Blobs = MappingProxyType({})


def blob_names(task: api.Task) -> list[str]:
    """The blobs that the task refers to; what is no SHA-256 is none."""
    return [name for _, name in _named(task) if SHA256.fullmatch(name)]


def blob_violations(task: api.Task, blobs: Blobs, *, kept: bool) -> Iterator[Violation]:
    """Everything that is wrong with the blobs that the task refers to."""
    for field, name in _named(task):
        if not kept:
            yield Violation(field, "this server keeps no blobs, since BLOB_SECRET is not set; send the input itself")
        elif not SHA256.fullmatch(name):
            allowed = "allowed is what uploading answered as sha256: 64 characters out of 0-9 a-f"
            yield Violation(field, f"is {name[:SHOWN]!r}; {allowed}")
        elif name not in blobs:
            yield Violation(field, _unknown(name))
    if task.stdin and task.stdin_blob:
        yield Violation("task.stdin_blob", "is given, and task.stdin too; leave one of them out")


def blob_gone(task: TaskSpec) -> Violation:
    """The task's blob was there when it was looked at, and is not any more."""
    field = "task.stdin_blob" if task.stdin_blob else "task.split.lines_blob"
    return Violation(field, _unknown(task.blob.sha256 if task.blob else ""))


def ref(blob: BlobRecord) -> BlobRef:
    """The blob as a task refers to it."""
    return BlobRef(sha256=blob.sha256, size_bytes=blob.size_bytes)


def _named(task: api.Task) -> Iterator[tuple[str, str]]:
    if task.stdin_blob:
        yield "task.stdin_blob", task.stdin_blob
    if task.split.WhichOneof("by") == "lines_blob":
        yield "task.split.lines_blob", task.split.lines_blob


def _unknown(name: str) -> str:
    how = "upload it with PutBlob or `curl -T FILE http://…/blobs`, and submit the task then"
    return f"there is no blob {name}; {how}"
