"""Which ends of an attempt are worth another one, and how long to wait before it."""

from taskandgo.words import Outcome

#: Whether the same code may end better the next time. LOST is not here: what was lost is replaced at once and
#: counted by itself, since it says nothing about the code.
RETRIED = {
    Outcome.FAILED: True,
    Outcome.COMPILE_FAILED: False,
    Outcome.TIMED_OUT: True,
    Outcome.OUT_OF_MEMORY: True,
    Outcome.OUTPUT_LIMIT: False,
    Outcome.KILLED: True,
    Outcome.CANCELLED: False,
    Outcome.SANDBOX_ERROR: True,
}
LONGEST_SECONDS = 3600.0


def wait_seconds(
    outcome: Outcome, failed_count: int, max_attempts: int, backoff_seconds: float, jitter: float
) -> float | None:
    """How long to wait before the next attempt after so many that ended badly; None: there is none.

    `jitter` is a random number from 0 to 1, so that what failed together does not come back together.
    """
    if failed_count >= max_attempts or not RETRIED.get(outcome, False):
        return None
    # Beyond some doublings the longest wait is reached, whatever the first one was.
    doubled = backoff_seconds * 2.0 ** min(failed_count - 1, 40)
    return min(doubled, LONGEST_SECONDS) * (1 - jitter / 2)


def grown_memory(memory_bytes: int, out_of_memory_count: int, most_bytes: int) -> int:
    """The memory limit of an attempt after so many that ran out of it: doubled for each, up to the most."""
    grown = memory_bytes << min(out_of_memory_count, 40)
    return max(memory_bytes, min(grown, most_bytes))
