"""What follows for a task from how many of its chunks have ended: nothing yet, its reduce, or its final state."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Step(StrEnum):
    """What follows."""

    WAIT = "wait"
    REDUCE = "reduce"
    SUCCEED = "succeed"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many chunks a task has, how many have ended either way, and what it wants of them."""

    chunks: int
    succeeded: int
    failed: int
    min_succeeded: int = 0
    reduces: bool = False


def next_step(counts: Counts) -> Step:
    """What follows; all chunks run to their end, whatever happened to others."""
    if counts.succeeded + counts.failed < counts.chunks:
        return Step.WAIT
    # What was asked for may be more than there are chunks, when the dispatcher chose how many.
    needed = min(counts.min_succeeded or counts.chunks, counts.chunks)
    if counts.succeeded < needed:
        return Step.FAIL
    return Step.REDUCE if counts.reduces else Step.SUCCEED


def reduce_stdin(outputs: Sequence[tuple[int, bytes]]) -> bytes:
    """The chunks' outputs as a reduce reads them: one JSON object a line, in chunk order."""
    return b"".join(_lines(outputs))


def _lines(outputs: Iterable[tuple[int, bytes]]) -> Iterable[bytes]:
    for index, stdout in outputs:
        yield msgspec.json.encode({"chunk_index": index, **_text(stdout)}) + b"\n"


def _text(stdout: bytes) -> dict[str, str]:
    try:
        return {"stdout": stdout.decode()}
    except UnicodeDecodeError:
        exact = base64.b64encode(stdout).decode()
        return {"stdout": stdout.decode(errors="replace"), "stdout_bytes": exact}
