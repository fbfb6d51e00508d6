"""How a box's end is told: an outcome, and a reason that a person understands. Pure."""

import signal

from services.runner.sandbox.box import BoxEnd, BoxLimits, EndedBy
from services.runner.sandbox.living_box import SIGNAL_CODE
from taskandgo.words import Outcome

MIB = 1024 * 1024
#: How much of the end of stderr is looked at for a runtime's words on memory; Go's are followed by all its stacks.
TAIL_BYTES = 64 * 1024

ENDS = {
    EndedBy.TIMEOUT: Outcome.TIMED_OUT,
    EndedBy.CPU_TIME: Outcome.TIMED_OUT,
    EndedBy.MEMORY: Outcome.OUT_OF_MEMORY,
    EndedBy.OUTPUT_LIMIT: Outcome.OUTPUT_LIMIT,
    EndedBy.CANCEL: Outcome.CANCELLED,
    EndedBy.SETUP: Outcome.SANDBOX_ERROR,
}


def outcome_of(end: BoxEnd, limits: BoxLimits, out_of_memory: tuple[bytes, ...]) -> tuple[Outcome, str]:
    """Outcome and reason; `out_of_memory` begins the line that a runtime writes when memory is refused to it."""
    if end.ended_by is not EndedBy.EXIT:
        return ENDS[end.ended_by], _why_ended(end, limits)
    if end.exit_code and was_refused_memory(end, out_of_memory):
        return Outcome.OUT_OF_MEMORY, _memory(limits)
    return _exit_outcome(end.exit_code or 0)


def _why_ended(end: BoxEnd, limits: BoxLimits) -> str:
    return {
        EndedBy.TIMEOUT: f"ran longer than its timeout of {limits.timeout_seconds:g} s",
        EndedBy.CPU_TIME: f"used more CPU time than its limit of {limits.cpu_seconds:g} s",
        EndedBy.MEMORY: _memory(limits),
        EndedBy.OUTPUT_LIMIT: f"wrote more than {limits.output_bytes} bytes",
        EndedBy.CANCEL: "the task was cancelled",
        EndedBy.SETUP: end.problem,
    }[end.ended_by]


def was_refused_memory(end: BoxEnd, marks: tuple[bytes, ...]) -> bool:
    """Whether one of `marks`, what a runtime says when memory is refused to it, begins a line late on stderr."""
    lines = end.stderr.ending(TAIL_BYTES).splitlines()
    return any(line.startswith(marks) for line in lines) if marks else False


def _memory(limits: BoxLimits) -> str:
    return f"used more memory than its limit of {limits.memory_bytes / MIB:g} MiB"


def _exit_outcome(exit_code: int) -> tuple[Outcome, str]:
    if exit_code == 0:
        return Outcome.SUCCEEDED, ""
    try:
        return Outcome.KILLED, f"ended by {signal.Signals(exit_code - SIGNAL_CODE).name}"
    except ValueError:
        return Outcome.FAILED, f"exited with code {exit_code}"
