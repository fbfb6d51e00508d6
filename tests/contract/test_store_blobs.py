"""What the store promises about blobs, on SQLite and on PostgreSQL."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from taskandgo.errors import BlobGoneError, TooLargeError
from taskandgo.store.blob_records import BlobRecord
from taskandgo.store.blobs import PIECE_BYTES
from taskandgo.store.records import Acceptance, Submission
from taskandgo.store.store import Store
from taskandgo.task import AttemptResult, BlobRef, TaskSpec
from taskandgo.words import Outcome, Stream
from tests.contract.store_steps import NOW, RULES, end, ended, opened, opening, submission

MOST = 64 * 1024 * 1024
LATER = NOW + timedelta(hours=1)


def now() -> datetime:
    return NOW


def some(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


async def blocks(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for place in range(0, len(content), size):
        yield content[place : place + size]


async def written(store: Store, content: bytes, task_id: str | None = None) -> BlobRecord:
    return await store.blobs.write(blocks(content), MOST, now, task_id)


async def read(store: Store, sha256: str, offset: int, size: int) -> bytes:
    return b"".join([block async for block in store.blobs.read(sha256, offset, size)])


def with_blob(blob: BlobRecord, task_id: str = "") -> Submission:
    item = submission(task_id=task_id)
    spec = {name: getattr(item.task, name) for name in item.task.__struct_fields__}
    spec["stdin_blob"] = BlobRef(sha256=blob.sha256, size_bytes=blob.size_bytes)
    return Submission(task=TaskSpec(**spec), content_hash=b"a")


async def test_what_is_written_is_found_whole_and_read_in_parts(store: Store) -> None:
    content = some(3 * PIECE_BYTES + 1234)
    blob = await written(store, content)
    assert (blob.sha256, blob.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert await store.blobs.find(blob.sha256) == blob
    for offset, size in ((0, len(content)), (5, 10), (PIECE_BYTES - 3, PIECE_BYTES + 9), (len(content) - 1, 1), (7, 0)):
        assert await read(store, blob.sha256, offset, size) == content[offset : offset + size]


async def test_reading_what_is_not_there_is_an_error(store: Store) -> None:
    blob = await written(store, some(10, seed=1))
    with pytest.raises(BlobGoneError):
        await read(store, blob.sha256, 5, 6)
    with pytest.raises(BlobGoneError):
        await read(store, "0" * 64, 0, 1)
    assert await store.blobs.find("0" * 64) is None


async def test_the_same_bytes_are_kept_once_also_when_written_at_the_same_time(store: Store) -> None:
    content = some(PIECE_BYTES + 1, seed=2)
    assert len(set(await asyncio.gather(*(written(store, content) for _ in range(4))))) == 1
    assert await store.blobs.remove_unused(LATER, 1000) >= 1
    assert await store.blobs.find(hashlib.sha256(content).hexdigest()) is None


async def test_too_many_bytes_leave_nothing(store: Store) -> None:
    content = some(2 * PIECE_BYTES, seed=3)
    with pytest.raises(TooLargeError, match="larger than 300000 bytes"):
        await store.blobs.write(blocks(content), 300_000, now)
    assert await store.blobs.find(hashlib.sha256(content).hexdigest()) is None
    await store.blobs.remove_unused(LATER, 1000)
    assert await store.blobs.remove_unused(LATER, 1000) == 0


async def test_what_breaks_off_is_not_found_and_leaves_nothing(store: Store) -> None:
    await store.blobs.remove_unused(LATER, 1000)

    async def breaking() -> AsyncIterator[bytes]:
        yield some(5 * PIECE_BYTES, seed=4)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.blobs.write(breaking(), MOST, now)
    assert await store.blobs.remove_unused(LATER, 1000) == 0


@pytest.mark.parametrize("last", [b"", b"\n", b"no end"])
async def test_line_ends_are_where_the_lines_end(store: Store, last: bytes) -> None:
    dice = random.Random(5)
    content = b"".join(some(dice.choice([0, 1, 50, 700_000]), seed=n).replace(b"\n", b"") + b"\n" for n in range(12))
    content += last
    blob = await written(store, content)
    lines = content.removesuffix(b"\n").split(b"\n")
    assert blob.lines == len(lines)
    place = 0
    for number, line in enumerate(lines[:-1], start=1):
        place += len(line) + 1
        assert (await store.blobs.line_ends(blob.sha256, number)).end_of(number) == place
    with pytest.raises(BlobGoneError):
        await store.blobs.line_ends(blob.sha256, len(lines) + 1)


async def test_a_task_with_a_blob_that_is_not_there_is_not_accepted(store: Store) -> None:
    missing = BlobRecord(sha256="1" * 64, size_bytes=5, lines=1)
    refused, other = with_blob(missing), submission()
    assert await store.accept_tasks([refused, other]) == [Acceptance.NO_BLOB, Acceptance.ACCEPTED]
    assert await store.get_task(refused.task.task_id) is None


async def test_a_blob_stays_as_long_as_a_task_uses_it(store: Store) -> None:
    blob = await written(store, some(PIECE_BYTES + 5, seed=6))
    items = [with_blob(blob), with_blob(blob)]
    assert await store.accept_tasks(items) == [Acceptance.ACCEPTED, Acceptance.ACCEPTED]
    assert await store.accept_task(items[0]) is Acceptance.SAME
    for place, item in enumerate(items):
        await store.blobs.remove_unused(LATER, 1000)
        assert await store.blobs.find(blob.sha256) == blob
        await store.open_chunks(opening(item.task.task_id, 1, RULES.refill))
        await end(store, ended(item.task.task_id))
        assert await store.remove_finished(LATER + timedelta(seconds=place), 1000) >= 1
        assert await store.get_task(item.task.task_id) is None
    await store.blobs.remove_unused(LATER, 1000)
    assert await store.blobs.find(blob.sha256) is None


async def test_an_upload_that_was_touched_lately_stays_for_a_while(store: Store) -> None:
    blob = await written(store, some(10, seed=7))
    await store.blobs.remove_unused(NOW, 1000)
    assert await store.blobs.find(blob.sha256) == blob


async def test_open_tasks_and_recent_ones_are_not_removed(store: Store) -> None:
    running, recent = await opened(store), await opened(store)
    await end(store, ended(recent))
    await store.remove_finished(NOW, 1000)
    assert await store.get_task(running) is not None
    assert await store.get_task(recent) is not None
    await store.remove_finished(LATER, 1000)
    assert await store.get_task(running) is not None
    assert await store.get_task(recent) is None


async def test_a_result_in_a_blob_is_told_by_its_beginning_and_read_whole(store: Store) -> None:
    task_id, content = await opened(store), some(2 * 1024 * 1024, seed=8)
    blob = await written(store, content, task_id)
    message = ended(task_id)
    result = AttemptResult(
        outcome=Outcome.SUCCEEDED,
        exit_code=0,
        stderr=b"few",
        stdout_blob=BlobRef(sha256=blob.sha256, size_bytes=blob.size_bytes),
    )
    fields = {name: getattr(message, name) for name in message.__struct_fields__} | {"result": result}
    await end(store, type(message)(**fields))
    await store.blobs.remove_unused(LATER, 1000)

    record = await store.get_task(task_id)

    assert record is not None
    assert record.result is not None
    assert record.result.stdout == content[: 1024 * 1024]
    assert (record.result.stdout_truncated, record.result.stderr_truncated) == (True, False)
    assert (record.stdout_bytes, record.stderr_bytes) == (len(content), 3)
    assert b"".join([block async for block in store.outputs.of_task(task_id, Stream.STDOUT)]) == content
    assert b"".join([block async for block in store.outputs.of_task(task_id, Stream.STDERR)]) == b"few"


async def test_outputs_of_chunks_are_joined_in_their_order_wherever_they_are(store: Store) -> None:
    task_id = await opened(store, 40)
    parts = [some(300_000 if index % 7 == 0 else index, seed=index) for index in range(40)]
    for index in reversed(range(40)):
        message = ended(task_id, index, stdout=parts[index])
        if len(parts[index]) > 1000:
            blob = await written(store, parts[index], task_id)
            ref = BlobRef(sha256=blob.sha256, size_bytes=blob.size_bytes)
            result = AttemptResult(outcome=Outcome.SUCCEEDED, exit_code=0, stdout_blob=ref)
            fields = {name: getattr(message, name) for name in message.__struct_fields__} | {"result": result}
            message = type(message)(**fields)
        await end(store, message)

    record = await store.get_task(task_id)

    assert record is not None
    assert record.result is not None
    assert record.result.stdout == b"".join(parts)
    assert record.stdout_bytes == sum(map(len, parts))
    assert b"".join([block async for block in store.outputs.of_task(task_id, Stream.STDOUT)]) == b"".join(parts)
    assert [wrote.size_bytes async for wrote in store.outputs.of_succeeded(task_id)] == list(map(len, parts))
    assert (await store.reduce_input(task_id, 10**9)).outputs is None
