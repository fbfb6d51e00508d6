"""What is wrong at a glance, in sentences, the worst first: pure."""

from collections.abc import Sequence

from services.monitor.dashboard.runner_rows import RunnerRow
from taskandgo.explanation.phrases import counted


def find_troubles(
    broker: bool,  # noqa: FBT001 - one of a few facts side by side
    waiting: int | None,
    runners: Sequence[RunnerRow],
    dead_letters: int | None,
) -> list[str]:
    """Each trouble there is; `waiting` is None while the store is away."""
    found = []
    if waiting is None:
        found.append("The store is away: tasks cannot be accepted or recorded.")
    if not broker:
        found.append("The broker is away: nothing new starts until it is back.")
    if not any(runner.state == "live" for runner in runners):
        work = f" with {counted(waiting, 'task')} waiting" if waiting else ""
        found.append(f"No runner is alive{work}.")
    if silent := [runner.runner for runner in runners if runner.state == "silent"]:
        named = ", ".join(silent[:3]) + (", …" if len(silent) > 3 else "")  # noqa: PLR2004 - a glance
        found.append(f"{counted(len(silent), 'runner')} fell silent: {named}.")
    if dead_letters:
        found.append(f"{counted(dead_letters, 'dead letter')} to look at.")
    return found
