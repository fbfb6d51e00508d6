"""Runs one job in one box: hands it over, collects what it writes, holds it to its limits, and tells its end.

Promises: the first reason to end a job is the one that counts; output is whole when the end is told; nothing of the
job is left on the host.
"""

import asyncio
import marshal
import os
import signal
import time
from functools import partial

from services.runner.sandbox.box import BoxEnd, BoxJob, Cancellable, EndedBy, OutputWatcher
from services.runner.sandbox.inside.plan import JobPlan
from services.runner.sandbox.inside.wire import FORMAT, tell
from services.runner.sandbox.living_box import LivingBox, Report, shell_code
from services.runner.sandbox.meter import Meter
from services.runner.sandbox.output import OutputReader
from services.runner.sandbox.sealed import seal
from services.runner.sandbox.watch_usage import Limit
from taskandgo.words import Stream

ENDS = {Limit.CPU_SECONDS: EndedBy.CPU_TIME, Limit.MEMORY_BYTES: EndedBy.MEMORY}


class RunJob:
    """One job under way."""

    def __init__(self, box: LivingBox, meter: Meter, job: BoxJob, watch: OutputWatcher) -> None:
        self._box = box
        self._meter = meter
        self._job = job
        self._watch = watch
        self._ended_by = EndedBy.EXIT
        self._output_bytes = 0
        self._started = self._ended = time.monotonic()

    async def run(self, plan: JobPlan, contents: tuple[bytes, ...], handle: Cancellable | None) -> BoxEnd:
        """Run the plan to its end; `contents` are its files'."""
        self._meter.start(self._job.limits, lambda passed: self._kill(ENDS[passed]))
        timer = asyncio.get_running_loop().call_later(self._job.limits.timeout_seconds, self._kill, EndedBy.TIMEOUT)
        stdout, stderr = self._hand_over(plan, contents)
        if handle:
            handle.on_cancel(partial(self._kill, EndedBy.CANCEL))
        try:
            report = await asyncio.shield(self._box.report)
            self._ended = time.monotonic()
            self._box.kill()
            await stdout.ended
            await stderr.ended
        finally:
            timer.cancel()
            self._box.kill()
        return self._end(report, stdout, stderr)

    def _hand_over(self, plan: JobPlan, contents: tuple[bytes, ...]) -> tuple[OutputReader, OutputReader]:
        packed = marshal.dumps(tuple(plan), FORMAT)
        ours = [seal(packed, *contents), self._stdin()]
        readers = []
        for stream in Stream:
            end, theirs = os.pipe()
            ours.append(theirs)
            readers.append(self._reader(stream, end))
        program = () if self._job.program is None else (self._job.program,)
        try:
            tell(self._box.channel, len(packed), (*ours, *program))
        except OSError:
            self._box.kill()  # it is dead already, which its report tells
        finally:
            for fd in ours:
                os.close(fd)
        return readers[0], readers[1]

    def _stdin(self) -> int:
        if self._job.stdin_fd is not None:
            return os.dup(self._job.stdin_fd)
        return seal(self._job.stdin) if self._job.stdin else os.open(os.devnull, os.O_RDONLY)

    def _reader(self, stream: Stream, fd: int) -> OutputReader:
        job = self._job
        return OutputReader(fd, job.keep_bytes, partial(self._watch, stream), self._count, job.spill_bytes)

    def _count(self, read_bytes: int) -> None:
        self._output_bytes += read_bytes
        if self._output_bytes > self._job.limits.output_bytes:
            self._kill(EndedBy.OUTPUT_LIMIT)

    def _kill(self, why: EndedBy) -> None:
        if self._ended_by is EndedBy.EXIT and not self._box.report.done():
            self._ended_by = why
            self._box.kill()

    def _end(self, report: Report | None, stdout: OutputReader, stderr: OutputReader) -> BoxEnd:
        used = self._meter.read()
        told = report or Report(None)
        exit_code = None if told.code is None else shell_code(told.code)
        ended_by = self._why(told, out_of_memory=used.oom_kills > 0)
        peak = told.peak_memory_bytes if used.peak_memory_bytes is None else used.peak_memory_bytes
        return BoxEnd(
            exit_code=exit_code if ended_by is EndedBy.EXIT else None,
            ended_by=ended_by,
            stdout=stdout.captured,
            stderr=stderr.captured,
            wall_seconds=self._ended - self._started,
            cpu_seconds=max(told.cpu_seconds, used.cpu_seconds),
            peak_memory_bytes=peak,
            problem=told.problem or "the box died before its job did" if ended_by is EndedBy.SETUP else "",
        )

    def _why(self, told: Report, *, out_of_memory: bool) -> EndedBy:
        if self._ended_by is not EndedBy.EXIT:
            return self._ended_by
        if out_of_memory and told.code != 0:
            return EndedBy.MEMORY
        if told.code is None:
            return EndedBy.SETUP
        # The kernel's own limit on CPU time, which ends a single process a little later than ours ends the box.
        return EndedBy.CPU_TIME if told.code == -signal.SIGXCPU else EndedBy.EXIT
