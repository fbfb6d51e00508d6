"""Executes one attempt: builds the program, runs it in a box, and tells the end as an outcome with a reason."""

from dataclasses import dataclass

from services.runner.languages.language import Language, MissingToolError, Program, Refused
from services.runner.limits import LARGEST_BINARY_BYTES, compile_limits, granted
from services.runner.outcomes import outcome_of
from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.box import Box, BoxEnd, BoxJob, BoxLimits, EndedBy, OutputWatcher
from services.runner.settings import RunnerSettings
from taskandgo.messages import ChunkReady
from taskandgo.task import AttemptResult, Usage
from taskandgo.words import Outcome

WHY_NO_PROGRAM = {
    EndedBy.EXIT: "the compiler refused the code; see stderr",
    EndedBy.OUTPUT_LIMIT: f"the compiled program is larger than {LARGEST_BINARY_BYTES} bytes",
}
NOT_THE_CODES_FAULT = (EndedBy.SETUP, EndedBy.CANCEL)
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/work", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class ExecuteChunk:
    """Executes attempts within the runner's settings."""

    box: Box
    languages: dict[str, Language]
    settings: RunnerSettings

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
        end = await self.box.run(self._job(chunk, program, limits), watch, running)
        return self._result(end, program, limits)

    def _job(self, chunk: ChunkReady, program: Program, limits: BoxLimits) -> BoxJob:
        own = {
            "TASK_ID": chunk.task_id,
            "CHUNK_INDEX": str(chunk.chunk_index),
            "CHUNK_COUNT": str(chunk.chunk_count),
            "ATTEMPT": str(chunk.attempt),
        }
        return BoxJob(
            limits=limits,
            keep_bytes=self.settings.runner_output_keep_bytes,
            argv=program.argv,
            program=program.binary.fd if program.binary else None,
            extra_address_bytes=program.extra_address_bytes,
            files=program.files,
            env={**chunk.env, **ENV, **program.env, **own},
            stdin=chunk.stdin,
        )

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


def _not_run(reason: str) -> AttemptResult:
    return AttemptResult(outcome=Outcome.SANDBOX_ERROR, reason=reason)
