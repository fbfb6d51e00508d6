"""The exit codes of the command line, and how a finished task becomes one."""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2 import TaskStatus


class ExitCode(IntEnum):
    """What the command line's own exit codes mean."""

    OK = 0
    WRONG = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    SERVER_UNAVAILABLE = 69
    TIMED_OUT = 124
    TASK_FAILED = 125
    CANCELLED = 130


def exit_code_of(task: "TaskStatus") -> int:
    """The task's own exit code; where it has none, one that says how it ended."""
    from taskandgo.api import scheduler_pb2 as api  # noqa: PLC0415 - keeps --help fast

    outcome = task.result.outcome
    if task.state == api.TASK_STATE_CANCELLED or outcome == api.OUTCOME_CANCELLED:
        return ExitCode.CANCELLED
    if outcome == api.OUTCOME_TIMED_OUT:
        return ExitCode.TIMED_OUT
    if task.result.HasField("exit_code"):
        return task.result.exit_code
    return ExitCode.OK if task.state == api.TASK_STATE_SUCCEEDED else ExitCode.TASK_FAILED
