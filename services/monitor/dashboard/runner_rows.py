"""Runners as the pages show them: pure."""

from collections.abc import Sequence
from datetime import datetime

from taskandgo.heard_runners import HeardRunner
from taskandgo.task import Value


class RunnerRow(Value, frozen=True, omit_defaults=False):
    """A runner; its state is live, draining, silent (its heartbeat is overdue) or stopped (silent after it drained)."""

    runner: str
    pool: str
    state: str
    slots: int
    busy: int
    languages: Sequence[str]
    isolation: str
    heard_at: datetime


def runner_row(runner: HeardRunner, now: datetime) -> RunnerRow:
    """A runner as it is now."""
    silent = runner.is_silent(now)
    return RunnerRow(
        runner=runner.runner,
        pool=runner.pool,
        state=_state(draining=runner.draining, silent=silent),
        slots=runner.slots,
        busy=0 if silent else runner.busy,
        languages=runner.languages,
        isolation=runner.isolation,
        # Of one that is there it would only say that the page is current.
        heard_at=runner.heard_at.replace(microsecond=0),
    )


def _state(*, draining: bool, silent: bool) -> str:
    if silent:
        return "stopped" if draining else "silent"
    return "draining" if draining else "live"
