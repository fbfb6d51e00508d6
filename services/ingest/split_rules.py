"""How a task may be cut: turns a Split of the API into a value, or says every field that is wrong. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from services.ingest.blob_rules import NO_BLOBS, Blobs, ref
from services.ingest.code_rules import code_of, code_violations
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import Violation
from taskandgo.task import Items, Lines, LinesBlob, Range, Split

#: The input that each chunk gets a share of on stdin, so that there is no room for the task's own.
ON_STDIN = ("lines", "items", "lines_blob")
SHOWN = 40

_any_json = msgspec.json.Decoder(msgspec.Raw)


def split_violations(task: api.Task, max_chunks: int, blobs: Blobs = NO_BLOBS) -> Iterator[Violation]:
    """Everything that is wrong with the task's split; that its blob is among those is for others to see."""
    if task.strategy == "batch":
        yield Violation("task.strategy", "is 'batch', and task.split is given; leave one of them out")
    by = task.split.WhichOneof("by")
    if by in ON_STDIN and task.stdin:
        allowed = f"it must be empty when task.split.{by} is given, since a chunk's stdin is its share of that"
        yield Violation("task.stdin", f"has {len(task.stdin)} bytes; {allowed}")
    if by in ON_STDIN and task.stdin_blob:
        yield Violation("task.stdin_blob", f"is given; it must be empty when task.split.{by} is given")
    wrong_input = list(_input_violations(task.split))
    yield from wrong_input
    yield from _count_violations(task.split, max_chunks, blobs, countable=not wrong_input)
    if task.split.reduce:
        yield from code_violations("task.split.reduce", task.split.reduce)


def split_of(split: api.Split, blobs: Blobs = NO_BLOBS) -> Split:
    """The split as it will be kept; it must be free of violations."""
    return Split(
        chunks=split.chunks,
        by=_by(split, blobs),
        reduce=code_of(split.reduce) if split.reduce else None,
        min_succeeded=split.min_succeeded,
    )


def input_sizes(split: api.Split) -> dict[str, int]:
    """What counts toward the size of the task, in bytes, by field."""
    return {
        "task.split.lines": len(split.lines),
        "task.split.items": sum(len(item.encode()) for item in split.items.json),
        "task.split.reduce": len(split.reduce.encode()),
    }


def _by(split: api.Split, blobs: Blobs) -> Lines | LinesBlob | Items | Range | None:
    match split.WhichOneof("by"):
        case "lines":
            return Lines(text=split.lines)
        case "lines_blob":
            return LinesBlob(blob=ref(blobs[split.lines_blob]), lines=blobs[split.lines_blob].lines)
        case "items":
            return Items(json=[_in_one_line(item) for item in split.items.json])
        case "range":
            return Range(start=split.range.start, stop=split.range.stop, step=_step(split.range))
    return None


def _in_one_line(item: str) -> str:
    # Line breaks in valid JSON are nothing but space between its parts; in a text they are escaped.
    return item.replace("\n", " ").replace("\r", " ")


def _step(numbers: api.Range) -> int:
    return numbers.step if numbers.HasField("step") else 1


def _input_violations(split: api.Split) -> Iterator[Violation]:
    match split.WhichOneof("by"):
        case "lines" if not split.lines:
            yield Violation("task.split.lines", "is empty; give at least one line")
        case "items":
            yield from _item_violations(split.items.json)
        case "range":
            yield from _range_violations(split.range)


def _item_violations(items: Sequence[str]) -> Iterator[Violation]:
    if not items:
        yield Violation("task.split.items", "is empty; give at least one JSON value")
    for place, item in enumerate(items):
        if wrong := _not_json(item):
            shown = item if len(item) <= SHOWN else f"{item[:SHOWN]}…"
            said = f"is {shown!r}, which is not one JSON value: {wrong}; a text needs its quotes"
            yield Violation(f"task.split.items.json[{place}]", said)
            # One tells what is wrong; ten thousand would only be long.
            return


def _not_json(item: str) -> str:
    try:
        _any_json.decode(item)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return str(error)
    return ""


def _range_violations(numbers: api.Range) -> Iterator[Violation]:
    step = _step(numbers)
    if step == 0:
        yield Violation("task.split.range.step", "is 0; allowed is any other number, or none for 1")
    elif not _range_elements(numbers):
        said = f"has no numbers: from {numbers.start} up to without {numbers.stop} in steps of {step}"
        yield Violation("task.split.range", f"{said}; give at least one")


def _range_elements(numbers: api.Range) -> int:
    # len(range(…)) ends at what a machine's word holds.
    return max(0, -(-(numbers.stop - numbers.start) // _step(numbers)))


def _count_violations(split: api.Split, max_chunks: int, blobs: Blobs, *, countable: bool) -> Iterator[Violation]:
    if split.chunks > max_chunks:
        allowed = f"at most {max_chunks} are allowed, or 0 for the server's choice"
        yield Violation("task.split.chunks", f"is {split.chunks}; {allowed}")
    known = split.WhichOneof("by") != "lines_blob" or split.lines_blob in blobs
    most = _most_chunks(split, blobs) if countable and known else max_chunks
    if split.min_succeeded > most:
        allowed = f"there are at most {most} chunks; 0 means all"
        yield Violation("task.split.min_succeeded", f"is {split.min_succeeded}; {allowed}")


def _most_chunks(split: api.Split, blobs: Blobs) -> int:
    """As many as were asked for, but no more than there are elements."""
    elements = _elements(split, blobs)
    return min(split.chunks or elements, elements)


def _elements(split: api.Split, blobs: Blobs) -> int:
    match split.WhichOneof("by"):
        case "lines_blob":
            return blobs[split.lines_blob].lines
        case "lines":
            return split.lines.count(b"\n") + (not split.lines.endswith(b"\n"))
        case "items":
            return len(split.items.json)
        case "range":
            return _range_elements(split.range)
    return split.chunks or 1
