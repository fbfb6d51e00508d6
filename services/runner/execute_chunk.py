"""Executes one attempt: builds the program, runs it in a box, and tells the end as an outcome with a reason."""

from dataclasses import dataclass

from services.runner.languages.language import Language, MissingToolError, Program, Refused
from services.runner.limits import compile_limits, granted
from services.runner.outcomes import outcome_of
from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.box import Box, BoxEnd, BoxJob, BoxLimits, EndedBy, OutputWatcher
from services.runner.settings import RunnerSettings
from taskandgo.messages import ChunkReady
from taskandgo.task import AttemptResult, Usage
from taskandgo.words import Outcome

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
        try:
            program = await language.build(chunk.code)
        except MissingToolError as error:
            return _not_run(str(error))
        if isinstance(program, Refused):
            return self._compile_failed(program)
        limits = granted(chunk.limits, self.settings)
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

    def _compile_failed(self, refused: Refused) -> AttemptResult:
        end = refused.end
        if end.ended_by is EndedBy.SETUP:
            return _not_run(end.problem)
        limits = compile_limits(self.settings)
        reason = "the compiler refused the code; see stderr"
        if end.ended_by is not EndedBy.EXIT:
            reason = f"the compiler was ended: it {outcome_of(end, limits, ())[1]}"
        usage = self._usage(end, end.wall_seconds)
        return AttemptResult(outcome=Outcome.COMPILE_FAILED, stderr=refused.text, reason=reason, usage=usage)

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
