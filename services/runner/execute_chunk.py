"""Executes one attempt: builds the program, runs it in a box, and tells the end as an outcome with a reason."""

import signal
from dataclasses import dataclass

from services.runner.languages.language import Language, MissingToolError, Program, Refused
from services.runner.running_chunks import RunningChunk
from services.runner.sandbox.box import Box, BoxEnd, BoxJob, EndedBy, OutputWatcher
from services.runner.settings import RunnerSettings
from taskandgo.messages import ChunkReady
from taskandgo.task import AttemptResult, Usage
from taskandgo.words import Outcome

FIRST_SIGNAL_CODE = 128
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
            return _not_run(f"this runner does not speak {chunk.language}")
        try:
            program = await language.build(chunk.code)
        except MissingToolError as error:
            return _not_run(str(error))
        if isinstance(program, Refused):
            return self._compile_failed(program)
        end = await self.box.run(self._job(chunk, program), watch, running)
        return self._result(end, program, self._timeout(chunk))

    def _job(self, chunk: ChunkReady, program: Program) -> BoxJob:
        own = {
            "TASK_ID": chunk.task_id,
            "CHUNK_INDEX": str(chunk.chunk_index),
            "CHUNK_COUNT": str(chunk.chunk_count),
            "ATTEMPT": str(chunk.attempt),
        }
        return BoxJob(
            argv=program.argv,
            files=program.files,
            read_only=program.read_only,
            env={**chunk.env, **ENV, **program.env, **own},
            stdin=chunk.stdin,
            timeout_seconds=self._timeout(chunk),
            keep_bytes=self.settings.runner_output_keep_bytes,
            output_limit_bytes=self.settings.runner_output_limit_bytes,
        )

    def _timeout(self, chunk: ChunkReady) -> float:
        wanted = chunk.limits.timeout_seconds or self.settings.runner_default_timeout_seconds
        return min(wanted, self.settings.runner_max_timeout_seconds)

    def _result(self, end: BoxEnd, program: Program, timeout_seconds: float) -> AttemptResult:
        outcome, reason = _outcome(end, timeout_seconds, self.settings.runner_output_limit_bytes)
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
        seconds = self.settings.runner_compile_timeout_seconds
        slow = f"the compiler took longer than {seconds:g} s"
        reason = slow if end.ended_by is EndedBy.TIMEOUT else "the compiler refused the code; see stderr"
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


def _outcome(end: BoxEnd, timeout_seconds: float, output_limit_bytes: int) -> tuple[Outcome, str]:
    match end.ended_by:
        case EndedBy.TIMEOUT:
            return Outcome.TIMED_OUT, f"ran longer than its timeout of {timeout_seconds:g} s"
        case EndedBy.OUTPUT_LIMIT:
            return Outcome.OUTPUT_LIMIT, f"wrote more than {output_limit_bytes} bytes"
        case EndedBy.CANCEL:
            return Outcome.CANCELLED, "the task was cancelled"
        case EndedBy.SETUP:
            return Outcome.SANDBOX_ERROR, end.problem
    return _exit_outcome(end.exit_code or 0)


def _exit_outcome(exit_code: int) -> tuple[Outcome, str]:
    if exit_code == 0:
        return Outcome.SUCCEEDED, ""
    try:
        return Outcome.KILLED, f"ended by {signal.Signals(exit_code - FIRST_SIGNAL_CODE).name}"
    except ValueError:
        return Outcome.FAILED, f"exited with code {exit_code}"


def _not_run(reason: str) -> AttemptResult:
    return AttemptResult(outcome=Outcome.SANDBOX_ERROR, reason=reason)
