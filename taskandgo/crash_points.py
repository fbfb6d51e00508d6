"""Where a process can be made to die for a test: between two effects, at a point that has a name.

Promises: nothing happens, and next to nothing is spent, unless CRASH_AT names points when the process starts: each as
`point` or `point:task`, with commas between them. The process then dies as by SIGKILL when it comes by one, or when
it does so with a task whose id begins like that.
"""

import os
import signal
from enum import StrEnum


class CrashPoint(StrEnum):
    """Every step after which a process may be gone while the next one is not made."""

    # ingest
    TASK_ACCEPTED = "task-accepted"
    OUTBOX_PUBLISHED = "outbox-published"
    TASK_CANCEL_RECORDED = "task-cancel-recorded"
    TASK_RETRY_RECORDED = "task-retry-recorded"
    # dispatcher
    TASK_OPENED = "task-opened"
    CHUNKS_EMITTED = "chunks-emitted"
    START_RECORDED = "start-recorded"
    ENDING_RECORDED = "ending-recorded"
    ENDING_EMITTED = "ending-emitted"
    TASK_FINISHED_PUBLISHED = "task-finished-published"
    TIMER_CLAIMED = "timer-claimed"
    TIMER_FIRED = "timer-fired"
    # runner
    CHUNK_TAKEN = "chunk-taken"
    CHUNK_STARTED_PUBLISHED = "chunk-started-published"
    CHUNK_EXECUTED = "chunk-executed"
    CHUNK_FINISHED_PUBLISHED = "chunk-finished-published"


def _armed(wanted: str) -> dict[CrashPoint, str]:
    pairs = (one.partition(":") for one in wanted.split(",") if one)
    return {CrashPoint(point): task for point, _, task in pairs}


ARMED = _armed(os.environ.get("CRASH_AT", ""))


def crash_point(point: CrashPoint, task_id: str) -> None:
    """Die here, if that is wanted."""
    if ARMED and point in ARMED and task_id.startswith(ARMED[point]):
        os.kill(os.getpid(), signal.SIGKILL)
