"""Measures Go through the runner's own path, from a chunk to its result: new sources, one source again, many chunks."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.runner.carry_blobs import CarryBlobs, open_client
from services.runner.execute_chunk import ExecuteChunk
from services.runner.languages.languages import make_languages
from services.runner.main import sandbox_plan
from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.sandbox import open_sandbox
from services.runner.settings import RunnerSettings
from taskandgo.messages import ChunkReady
from taskandgo.settings import load
from taskandgo.words import Outcome, Priority, Stream

SOURCES = 10
SLOTS = 2


@dataclass(frozen=True, slots=True)
class GoTimes:
    """Seconds: of each new source, of each run of a source that is known, and of all chunks of one new source."""

    new: list[float]
    again: list[float]
    chunks: float


async def measure_go(chunks: int) -> GoTimes:
    """The times; the standard library is compiled before."""
    async with _runner() as execute:
        await _run(execute, _source())
        new = [await _run(execute, _source()) for _ in range(SOURCES)]
        known = _source()
        await _run(execute, known)
        again = [await _run(execute, known) for _ in range(SOURCES * 5)]
        return GoTimes(new, again, await _run_chunks(execute, chunks))


async def _run_chunks(execute: ExecuteChunk, chunks: int) -> float:
    source, slots = _source(), asyncio.Semaphore(SLOTS)

    async def one() -> None:
        async with slots:
            await _run(execute, source)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(chunks)))
    return time.perf_counter() - started


async def _run(execute: ExecuteChunk, source: str) -> float:
    chunk = ChunkReady(
        task_id="bench", chunk_index=0, chunk_count=1, attempt=1, priority=Priority.NORMAL, pool="default",
        language="go", code=source,
    )  # fmt: skip
    started = time.perf_counter()
    result = await execute(chunk, RunningChunk(), _unwatched)
    assert result.outcome is Outcome.SUCCEEDED, result
    return time.perf_counter() - started


@asynccontextmanager
async def _runner() -> AsyncIterator[ExecuteChunk]:
    settings = load(RunnerSettings, runner_slots=SLOTS, runner_name="bench")
    async with open_sandbox(sandbox_plan(settings)) as box, open_client() as client:
        languages = make_languages(settings, box)
        await languages["go"].prepare()
        yield ExecuteChunk(box, languages, settings, CarryBlobs(client, settings.runner_blob_patience_seconds))


def _source() -> str:
    """A program that no cache knows."""
    return (
        f"package main\n// {uuid.uuid4()}\n"
        'import (\n\t"fmt"\n\t"math/big"\n)\n'
        "func main() { fmt.Println(new(big.Int).Exp(big.NewInt(3), big.NewInt(100), nil)) }\n"
    )


def _unwatched(stream: Stream, offset: int, data: bytes) -> None:
    del stream, offset, data
