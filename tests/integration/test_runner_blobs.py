"""A runner's attempt around its blobs: what comes of it while ingest is away, and when the task is cancelled."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import pytest

from services.runner.carry_blobs import CarryBlobs, open_client
from services.runner.execute_chunk import ExecuteChunk
from services.runner.languages.languages import make_languages
from services.runner.main import sandbox_plan
from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.sandbox import open_sandbox
from services.runner.settings import RunnerSettings
from taskandgo.blob_access import INLINE_BYTES, BlobAccess, BlobPart
from taskandgo.messages import ChunkReady
from taskandgo.settings import load
from taskandgo.words import Outcome, Priority, Stream
from tests.e2e.stack import free_port

PART = BlobPart(sha256="0" * 64, offset_bytes=0, size_bytes=1_000_000)
MIB = 1024 * 1024


@pytest.fixture(params=[0.3, 60.0])
async def execute(request: pytest.FixtureRequest) -> AsyncIterator[ExecuteChunk]:
    settings = load(RunnerSettings, runner_slots=1, runner_name="blobs", runner_output_keep_bytes=MIB)
    async with open_sandbox(sandbox_plan(settings)) as box, open_client() as client:
        yield ExecuteChunk(box, make_languages(settings, box), settings, CarryBlobs(client, request.param))


def chunk(code: str, part: BlobPart | None = None, *, access: bool = True) -> ChunkReady:
    return ChunkReady(
        task_id="t",
        chunk_index=0,
        chunk_count=1,
        attempt=1,
        priority=Priority.NORMAL,
        pool="default",
        language="python",
        code=code,
        stdin_part=part,
        blobs=BlobAccess(url=f"http://127.0.0.1:{free_port()}", write_token="1.x") if access else None,
    )


def unwatched(stream: Stream, offset: int, data: bytes) -> None:
    del stream, offset, data


impatient = pytest.mark.parametrize("execute", [0.3], indirect=True)


@impatient
async def test_input_that_cannot_be_fetched_is_told(execute: ExecuteChunk) -> None:
    result = await execute(chunk("print(1)", PART), RunningChunk(), unwatched)
    assert result.outcome is Outcome.SANDBOX_ERROR
    assert "its input could not be fetched: ingest was away for 0.3 s" in result.reason


@impatient
async def test_input_that_nobody_may_fetch_is_told(execute: ExecuteChunk) -> None:
    result = await execute(chunk("print(1)", PART, access=False), RunningChunk(), unwatched)
    assert result.outcome is Outcome.SANDBOX_ERROR
    assert "BLOB_SECRET" in result.reason


@impatient
async def test_output_that_cannot_be_left_is_told_with_its_beginning(execute: ExecuteChunk) -> None:
    result = await execute(chunk("print('x' * 600_000)"), RunningChunk(), unwatched)
    assert result.outcome is Outcome.SANDBOX_ERROR
    assert "what it wrote could not be kept: ingest was away" in result.reason
    assert (result.stdout, result.stdout_truncated, result.exit_code) == (b"x" * INLINE_BYTES, True, 0)


def on_a_full_disk(**_: object) -> BinaryIO:
    return Path("/dev/full").open("r+b", buffering=0)


@impatient
async def test_output_that_the_disk_does_not_take_is_no_success(
    execute: ExecuteChunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.runner.sandbox.spill_file.tempfile.TemporaryFile", on_a_full_disk)
    result = await execute(chunk("print('x' * 600_000)"), RunningChunk(), unwatched)
    assert result.outcome is Outcome.SANDBOX_ERROR
    assert result.reason == "what it wrote could not be kept: the runner's disk is full"
    assert (set(result.stdout), result.stdout_truncated, result.exit_code) == (set(b"x"), True, 0)
    failed = await execute(chunk("print('x' * 600_000)\nraise SystemExit(3)"), RunningChunk(), unwatched)
    assert (failed.outcome, failed.reason, failed.stdout_truncated) == (Outcome.FAILED, "exited with code 3", True)


@impatient
async def test_without_blobs_output_stays_in_the_result(execute: ExecuteChunk) -> None:
    result = await execute(chunk("print('x' * 600_000, end='')", access=False), RunningChunk(), unwatched)
    assert (result.outcome, result.stdout, result.stdout_blob) == (Outcome.SUCCEEDED, b"x" * 600_000, None)


@impatient
async def test_what_a_runtime_says_at_the_end_of_large_output_counts(execute: ExecuteChunk) -> None:
    code = "import sys\nsys.stderr.write('x' * 600_000 + '\\n')\nraise MemoryError"
    result = await execute(chunk(code, access=False), RunningChunk(), unwatched)
    assert result.outcome is Outcome.OUT_OF_MEMORY
    spilled = await execute(chunk(code), RunningChunk(), unwatched)
    assert spilled.stderr == b"x" * INLINE_BYTES


@pytest.mark.parametrize("execute", [60.0], indirect=True)
async def test_cancelling_ends_the_wait_for_input_at_once(execute: ExecuteChunk) -> None:
    running = RunningChunk()
    attempt = asyncio.create_task(execute(chunk("print(1)", PART), running, unwatched))
    done, _ = await asyncio.wait([attempt], timeout=0.5)
    assert not done
    running.cancel()
    async with asyncio.timeout(5):
        result = await attempt
    assert result.outcome is Outcome.CANCELLED, (result, sys.version)
