"""Tries every language of a runner: a small program that tells its own version goes the way that chunks go."""

from dataclasses import dataclass

from services.runner.carry_blobs import CarryBlobs, open_client
from services.runner.execute_chunk import ExecuteChunk
from services.runner.languages.language import MissingToolError
from services.runner.languages.languages import make_languages
from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.box import Box
from services.runner.sandbox.zygote_process import ZygoteGoneError
from services.runner.settings import RunnerSettings
from taskandgo.messages import ChunkReady
from taskandgo.words import Outcome, Priority, Stream

SAMPLES = {
    "python": "import sys; print(sys.version.split()[0])",
    "go": 'package main\n\nimport (\n\t"fmt"\n\t"runtime"\n)\n\nfunc main() { fmt.Println(runtime.Version()) }\n',
    "bash": 'echo "$BASH_VERSION"',
}


@dataclass(frozen=True, slots=True)
class TriedLanguage:
    """Whether a language runs here: its version, or why it does not."""

    language: str
    runs: bool
    said: str


async def try_languages(settings: RunnerSettings, box: Box) -> list[TriedLanguage]:
    """Every language of the runner, tried in the box."""
    async with open_client() as client:
        languages = make_languages(settings, box)
        blobs = CarryBlobs(client, settings.runner_blob_patience_seconds)
        execute = ExecuteChunk(box, languages, settings, blobs)
        return [await _prepare_and_try(execute, name) for name in languages]


async def _prepare_and_try(execute: ExecuteChunk, name: str) -> TriedLanguage:
    try:
        await execute.languages[name].prepare()
    except (MissingToolError, ZygoteGoneError) as error:
        return TriedLanguage(name, runs=False, said=str(error))
    return await _try(execute, name)


async def _try(execute: ExecuteChunk, language: str) -> TriedLanguage:
    result = await execute(_sample(language), RunningChunk(), _unwatched)
    if result.outcome is Outcome.SUCCEEDED:
        return TriedLanguage(language, runs=True, said=result.stdout.decode(errors="replace").strip())
    return TriedLanguage(language, runs=False, said=f"{result.outcome}: {result.reason}")


def _sample(language: str) -> ChunkReady:
    return ChunkReady(
        task_id="doctor",
        chunk_index=0,
        chunk_count=1,
        attempt=1,
        priority=Priority.NORMAL,
        pool="doctor",
        language=language,
        code=SAMPLES[language],
    )


def _unwatched(stream: Stream, offset: int, data: bytes) -> None:
    del stream, offset, data
