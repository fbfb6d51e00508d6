"""Executes one attempt: builds the program, runs it in a box, and tells the end as an outcome with a reason.

Large input is fetched before the run, and large output taken to ingest after it.
"""

import asyncio
from dataclasses import dataclass

import msgspec

from services.runner.carry_blobs import BlobRefusedError, BlobsAwayError, CarryBlobs
from services.runner.languages.language import Language, MissingToolError, Program, Refused
from services.runner.limits import LARGEST_BINARY_BYTES, compile_limits, granted
from services.runner.outcomes import outcome_of
from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.box import Box, BoxEnd, BoxJob, BoxLimits, EndedBy, OutputWatcher
from services.runner.sandbox.sealed import GrowingFile
from services.runner.settings import RunnerSettings
from taskandgo.blob_access import INLINE_BYTES
from taskandgo.messages import ChunkReady
from taskandgo.task import AttemptResult, BlobRef, Usage
from taskandgo.words import Outcome

WHY_NO_PROGRAM = {
    EndedBy.EXIT: "the compiler refused the code; see stderr",
    EndedBy.OUTPUT_LIMIT: f"the compiled program is larger than {LARGEST_BINARY_BYTES} bytes",
}
NOT_THE_CODES_FAULT = (EndedBy.SETUP, EndedBy.CANCEL)
#: How much of a stream is kept where there are no blobs: a message has to hold both, and RabbitMQ takes 16 MiB.
MOST_INLINE_BYTES = 7 * 1024 * 1024
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/work", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class ExecuteChunk:
    """Executes attempts within the runner's settings."""

    box: Box
    languages: dict[str, Language]
    settings: RunnerSettings
    blobs: CarryBlobs

    async def __call__(self, chunk: ChunkReady, running: RunningChunk, watch: OutputWatcher) -> AttemptResult:
        """The attempt's result; whatever the code does, there is one."""
        language = self.languages.get(chunk.language)
        if language is None:
            return _not_run(f"this runner, at isolation level {self.box.isolation}, does not speak {chunk.language}")
        limits = granted(chunk.limits, self.settings)
        try:
            program = await language.build(chunk.code, limits, running)
        except MissingToolError as error:
            return _not_run(str(error))
        if isinstance(program, Refused):
            return self._compile_failed(program.end)
        try:
            stdin = await self._fetch(chunk, running) if chunk.stdin_part else None
        except (BlobsAwayError, BlobRefusedError) as error:
            return _not_run(f"its input could not be fetched: {error}")
        if running.cancelled:
            return AttemptResult(outcome=Outcome.CANCELLED, reason="the task was cancelled before the code started")
        end = await self.box.run(self._job(chunk, program, limits, stdin), watch, running)
        return await self._take(chunk, end, self._result(end, program, limits))

    async def _fetch(self, chunk: ChunkReady, running: RunningChunk) -> GrowingFile | None:
        """Its input; None if it was cancelled meanwhile."""
        fetching = asyncio.get_running_loop().create_task(self.blobs.fetch(chunk))
        running.on_cancel(lambda: _end(fetching))
        try:
            return await fetching
        except asyncio.CancelledError:
            fetching.cancel()
            if fetching.cancelled() and running.cancelled:
                return None
            raise

    def _job(self, chunk: ChunkReady, program: Program, limits: BoxLimits, stdin: GrowingFile | None) -> BoxJob:
        own = {
            "TASK_ID": chunk.task_id,
            "CHUNK_INDEX": str(chunk.chunk_index),
            "CHUNK_COUNT": str(chunk.chunk_count),
            "ATTEMPT": str(chunk.attempt),
        }
        return BoxJob(
            limits=limits,
            keep_bytes=self.settings.runner_output_keep_bytes
            if chunk.blobs
            else min(self.settings.runner_output_keep_bytes, MOST_INLINE_BYTES),
            spill_bytes=INLINE_BYTES if chunk.blobs else None,
            argv=program.argv,
            program=program.binary.fd if program.binary else None,
            extra_address_bytes=program.extra_address_bytes,
            files=program.files,
            env={**chunk.env, **ENV, **program.env, **own},
            stdin=chunk.stdin,
            stdin_fd=stdin.fd if stdin else None,
        )

    async def _take(self, chunk: ChunkReady, end: BoxEnd, result: AttemptResult) -> AttemptResult:
        """The result, with large output in blobs."""
        problem = end.stdout.problem or end.stderr.problem
        if problem and result.outcome is Outcome.SUCCEEDED:
            return _not_kept(end, result, problem)
        blobs: dict[str, BlobRef] = {}
        try:
            for name, captured in (("stdout_blob", end.stdout), ("stderr_blob", end.stderr)):
                if captured.spilled and chunk.blobs:
                    blobs[name] = await self.blobs.take(chunk, chunk.blobs, captured.spilled)
        except (BlobsAwayError, BlobRefusedError) as error:
            return _not_kept(end, result, str(error))
        return msgspec.structs.replace(result, **blobs) if blobs else result

    def _result(self, end: BoxEnd, program: Program, limits: BoxLimits) -> AttemptResult:
        outcome, reason = outcome_of(end, limits, program.out_of_memory)
        return AttemptResult(
            outcome=outcome,
            exit_code=end.exit_code,
            stdout=end.stdout.data,
            stderr=end.stderr.data,
            stdout_truncated=end.stdout.truncated,
            stderr_truncated=end.stderr.truncated,
            reason=reason,
            usage=self._usage(end, program.compile_seconds),
        )

    def _compile_failed(self, end: BoxEnd) -> AttemptResult:
        outcome, why = outcome_of(end, compile_limits(self.settings), ())
        if end.ended_by in NOT_THE_CODES_FAULT:
            return AttemptResult(outcome=outcome, reason=why)
        return AttemptResult(
            outcome=Outcome.COMPILE_FAILED,
            stderr=end.stderr.data,
            stderr_truncated=end.stderr.truncated,
            reason=WHY_NO_PROGRAM.get(end.ended_by, f"the compiler was ended: it {why}"),
            usage=self._usage(end, end.wall_seconds),
        )

    def _usage(self, end: BoxEnd, compile_seconds: float) -> Usage:
        return Usage(
            wall_seconds=end.wall_seconds,
            cpu_seconds=end.cpu_seconds,
            peak_memory_bytes=end.peak_memory_bytes,
            output_bytes=end.stdout.total_bytes + end.stderr.total_bytes,
            compile_seconds=compile_seconds,
            isolation=self.box.isolation,
        )


def _end(fetching: asyncio.Task[GrowingFile]) -> None:
    fetching.cancel()


def _not_kept(end: BoxEnd, result: AttemptResult, why: str) -> AttemptResult:
    """The code ran, but a result without its output would be no result; its beginning helps whoever looks into it."""
    stdout, stderr = end.stdout.beginning(INLINE_BYTES), end.stderr.beginning(INLINE_BYTES)
    return msgspec.structs.replace(
        result,
        outcome=Outcome.SANDBOX_ERROR,
        reason=f"what it wrote could not be kept: {why}",
        stdout=stdout,
        stderr=stderr,
        stdout_truncated=end.stdout.total_bytes > len(stdout),
        stderr_truncated=end.stderr.total_bytes > len(stderr),
    )


def _not_run(reason: str) -> AttemptResult:
    return AttemptResult(outcome=Outcome.SANDBOX_ERROR, reason=reason)
