"""How often an attempt may be repeated: turns a Retry of the API into a value, or says what is wrong. Pure."""

from collections.abc import Iterator

from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import Violation
from taskandgo.task import Retry

MAX_ATTEMPTS = 100
MAX_BACKOFF_SECONDS = 3600.0


def retry_violations(retry: api.Retry) -> Iterator[Violation]:
    """Everything that is wrong with it."""
    if not 0 <= retry.max_attempts <= MAX_ATTEMPTS:
        allowed = f"1 to {MAX_ATTEMPTS}, or 0 for 1"
        yield Violation("task.retry.max_attempts", f"is {retry.max_attempts}; allowed are {allowed}")
    if not 0 <= (seconds := _backoff(retry)) <= MAX_BACKOFF_SECONDS:
        allowed = f"0 s to {MAX_BACKOFF_SECONDS:g} s"
        yield Violation("task.retry.backoff", f"is {seconds:g} s; allowed is {allowed}")


def retry_of(retry: api.Retry) -> Retry:
    """The retry as it will be kept; it must be free of violations."""
    return Retry(max_attempts=retry.max_attempts or 1, backoff_seconds=_backoff(retry))


def _backoff(retry: api.Retry) -> float:
    if not retry.HasField("backoff"):
        return Retry().backoff_seconds
    return retry.backoff.seconds + retry.backoff.nanos / 1e9
