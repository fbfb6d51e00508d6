"""Blobs between real parts: the internal endpoint over a real store, the runner's way to it, a reduce's input."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest

from services.dispatcher.hand_out_blobs import HandOutBlobs
from services.dispatcher.strategies.gather import reduce_stdin
from services.dispatcher.strategies.split import LinesBlobCut, Share, share
from services.dispatcher.write_reduce_input import WriteReduceInput
from services.ingest.serve_blobs import blob_endpoint
from services.ingest.sweep_store import SweepStore
from services.runner.carry_blobs import BlobRefusedError, BlobsAwayError, CarryBlobs, open_client
from services.runner.sandbox.spill_file import SpillFile
from taskandgo.blob_access import READ, WRITE, Attempt, BlobAccess, BlobPart, make_token
from taskandgo.clock import SystemClock
from taskandgo.messages import ChunkReady
from taskandgo.rpc.http_server import serve_http
from taskandgo.store.blob_records import BlobRecord, ChunkWrote
from taskandgo.store.connect import open_store
from taskandgo.store.records import Ending
from taskandgo.store.store import Store
from taskandgo.task import AttemptResult, BlobRef
from taskandgo.words import Outcome, Priority
from tests.contract.store_steps import RULES, ended, opened
from tests.e2e.stack import free_port

SECRET = "s" * 32
MOST = 4 * 1024 * 1024
CLOCK = SystemClock()


@dataclass
class House:
    """A store with the endpoint before it."""

    store: Store
    url: str
    client: httpx.AsyncClient
    carry: CarryBlobs


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with (
        open_store(f"sqlite:///{tmp_path / 'store.db'}") as store,
        open_client() as client,
        serve_http(blob_endpoint(store.blobs, CLOCK, SECRET, MOST), "127.0.0.1:0") as address,
    ):
        yield House(store, f"http://{address}", client, CarryBlobs(client, 0.5))


def some(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


async def one(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def kept(store: Store, content: bytes, task_id: str | None = None) -> BlobRecord:
    return await store.blobs.write(one(content), MOST * 8, CLOCK.now, task_id)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def chunk(task_id: str, part: BlobPart | None, url: str, attempt: int = 1) -> ChunkReady:
    named = Attempt(task_id, 0, attempt)
    read = make_token(SECRET, READ, named.read_path(part), soon()) if part else ""
    write = make_token(SECRET, WRITE, named.write_path, soon())
    return ChunkReady(
        task_id=task_id,
        chunk_index=0,
        chunk_count=1,
        attempt=attempt,
        priority=Priority.NORMAL,
        pool="default",
        language="python",
        code="1",
        stdin_part=part,
        blobs=BlobAccess(url=url, read_token=read, write_token=write),
    )


async def test_a_part_is_fetched_into_a_sealed_file(house: House) -> None:
    content = some(1_000_000)
    blob = await kept(house.store, content)
    part = BlobPart(sha256=blob.sha256, offset_bytes=262_000, size_bytes=500_000)

    file = await house.carry.fetch(chunk("a:b.c_d-e", part, house.url))

    assert Path(f"/proc/self/fd/{file.fd}").read_bytes() == content[262_000:762_000]
    with pytest.raises(PermissionError):
        file.add(b"more")


async def test_without_the_right_token_nothing_is_given(house: House) -> None:
    blob = await kept(house.store, some(1000))
    part = BlobPart(sha256=blob.sha256, offset_bytes=0, size_bytes=1000)
    good = chunk("t", part, house.url)
    assert good.blobs is not None
    other = chunk("t", part, house.url, attempt=2).blobs
    assert other is not None
    expired = make_token(SECRET, READ, Attempt("t", 0, 1).read_path(part), datetime.now(UTC) - timedelta(seconds=2))
    for token in ("forged", expired, other.read_token, good.blobs.write_token):
        bad = msgspec.structs.replace(good, blobs=msgspec.structs.replace(good.blobs, read_token=token))
        with pytest.raises(BlobRefusedError, match="403 the token"):
            await house.carry.fetch(bad)
    bare = await house.client.get(house.url + Attempt("t", 0, 1).read_path(part))
    assert bare.status_code == 403


async def test_a_part_that_is_not_there_is_refused(house: House) -> None:
    blob = await kept(house.store, some(1000))
    for part in (
        BlobPart(sha256=blob.sha256, offset_bytes=1, size_bytes=1000),
        BlobPart(sha256="0" * 64, offset_bytes=0, size_bytes=1),
    ):
        with pytest.raises(BlobRefusedError, match="404"):
            await house.carry.fetch(chunk("t", part, house.url))


async def test_output_is_kept_for_its_task_as_soon_as_it_is_taken(house: House) -> None:
    task_id, content, output = await opened(house.store), some(900_000), SpillFile()
    output.add(content)
    message = chunk(task_id, None, house.url)
    assert message.blobs is not None

    blob = await house.carry.take(message, message.blobs, output)

    assert blob == BlobRef(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    await house.store.blobs.remove_unused(datetime.now(UTC) + timedelta(days=1), 100)
    assert await house.store.blobs.find(blob.sha256) is not None


async def test_output_that_is_too_large_or_without_token_is_refused(house: House) -> None:
    task_id, output = await opened(house.store), SpillFile()
    output.add(bytes(MOST + 1))
    message = chunk(task_id, None, house.url)
    assert message.blobs is not None
    with pytest.raises(BlobRefusedError, match="413"):
        await house.carry.take(message, message.blobs, output)
    with pytest.raises(BlobRefusedError, match="403"):
        await house.carry.take(message, msgspec.structs.replace(message.blobs, write_token="1.2"), output)


async def test_while_ingest_is_away_it_is_tried_again_and_then_said(tmp_path: Path) -> None:
    content, listen = some(300_000), f"127.0.0.1:{free_port()}"
    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store, open_client() as client:
        blob = await kept(store, content)
        part = BlobPart(sha256=blob.sha256, offset_bytes=0, size_bytes=len(content))
        with pytest.raises(BlobsAwayError, match=r"ingest was away for 0\.3 s"):
            await CarryBlobs(client, 0.3).fetch(chunk("t", part, f"http://{listen}"))
        fetching = asyncio.create_task(CarryBlobs(client, 30).fetch(chunk("t", part, f"http://{listen}")))
        done, _ = await asyncio.wait([fetching], timeout=0.5)
        assert not done
        async with serve_http(blob_endpoint(store.blobs, CLOCK, SECRET, MOST), listen):
            assert (await fetching).size == len(content)


def handing_out(store: Store) -> HandOutBlobs:
    return HandOutBlobs(store.blobs, CLOCK, "http://x", SECRET, 60)


@pytest.mark.parametrize("count", [1, 3, 1000])
@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_chunks_of_lines_are_byte_ranges_on_line_ends(house: House, count: int, end: bytes) -> None:
    dice = random.Random(1)
    lines = [b"x" * dice.choice([0, 3, 80, 20_000]) for _ in range(1000)]
    content = b"\n".join([*lines, b"last"]) + end
    blob = await kept(house.store, content)
    cut = LinesBlobCut(BlobRef(sha256=blob.sha256, size_bytes=blob.size_bytes), blob.lines)
    hand_out = handing_out(house.store)

    parts = [await hand_out.part(share(cut, count, index)) for index in range(count)]

    place, numbers = 0, []
    for part in parts:
        assert part is not None
        assert part.offset_bytes == place
        got = content[place : place + part.size_bytes]
        assert got.endswith(b"\n") or part is parts[-1]
        numbers.append(got.removesuffix(b"\n").count(b"\n") + 1)
        place += part.size_bytes
    assert place == len(content)
    assert (sum(numbers), max(numbers) - min(numbers) <= 1) == (1001, True)
    assert len(hand_out._looked_up) <= 8


async def test_nothing_is_handed_out_without_a_secret(house: House) -> None:
    hand_out = HandOutBlobs(house.store.blobs, CLOCK, "http://x", "", 60)
    assert hand_out.access(Attempt("t", 0, 1), None) is None
    assert await hand_out.part(Share(b"1", {})) is None


async def test_the_input_of_a_reduce_is_the_same_from_blobs_as_from_messages(house: House) -> None:
    text = ('wörld €𝄞 "quoted" \\ \t\n' * 40_000).encode()
    outputs = [b"", b"plain", text, some(700_001), text[:-1] + b"\xc3", b"\xff"]
    task_id = await opened(house.store, len(outputs))
    for index, content in enumerate(outputs):
        message = ended(task_id, index, stdout=content)
        if len(content) > 1000:
            blob = await kept(house.store, content, task_id)
            ref = BlobRef(sha256=blob.sha256, size_bytes=blob.size_bytes)
            result = AttemptResult(outcome=Outcome.SUCCEEDED, exit_code=0, stdout_blob=ref)
            message = msgspec.structs.replace(message, result=result)
        await house.store.record_ending(Ending(message=message, at=CLOCK.now()), RULES.advance)

    total = sum(map(len, outputs))
    blob_ref = await WriteReduceInput(house.store, CLOCK)(task_id, total, len(outputs))

    whole = ChunkWrote(chunk_index=0, blob=blob_ref)
    written = b"".join([block async for block in house.store.outputs.of_chunk(whole)])
    assert written == reduce_stdin(list(enumerate(outputs)))


async def test_the_sweep_removes_old_tasks_and_then_their_blobs(house: House) -> None:
    task_id = await opened(house.store)
    blob = await kept(house.store, some(10), task_id)
    await house.store.record_ending(Ending(message=ended(task_id), at=CLOCK.now()), RULES.advance)
    await SweepStore(house.store, CLOCK, 60, 0).once()
    assert await house.store.get_task(task_id) is not None

    @dataclass
    class Later:
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=61)

    await SweepStore(house.store, Later(), 60, 60).once()

    assert await house.store.get_task(task_id) is None
    assert await house.store.blobs.find(blob.sha256) is None
