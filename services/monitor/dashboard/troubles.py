"""What is wrong at a glance, in sentences, the worst first: pure."""

from collections.abc import Mapping, Sequence

from services.monitor.dashboard.runner_rows import RunnerRow
from taskandgo.explanation.phrases import counted


def find_troubles(
    broker: bool,  # noqa: FBT001 - one of a few facts side by side
    waiting: Mapping[str, int] | None,
    runners: Sequence[RunnerRow],
    dead_letters: int | None,
) -> list[str]:
    """Each trouble there is; `waiting` counts tasks by pool, and is None while the store is away."""
    found = []
    if waiting is None:
        found.append("The store is away: tasks cannot be accepted or recorded.")
    if not broker:
        found.append("The broker is away: nothing new starts until it is back.")
    served = {runner.pool for runner in runners if runner.state == "live"}
    for pool, count in sorted((waiting or {}).items()):
        if count and pool not in served:
            found.append(f"No runner of pool {pool} is alive, with {counted(count, 'task')} waiting.")
    if not served and not any((waiting or {}).values()):
        found.append("No runner is alive.")
    if silent := [runner.runner for runner in runners if runner.state == "silent"]:
        named = ", ".join(silent[:3]) + (", …" if len(silent) > 3 else "")  # noqa: PLR2004 - a glance
        found.append(f"{counted(len(silent), 'runner')} fell silent: {named}.")
    if dead_letters:
        found.append(f"{counted(dead_letters, 'dead letter')} to look at.")
    return found
