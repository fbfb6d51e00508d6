"""The last quarter of an hour in steps of some seconds, for the charts. Pure: whoever calls says what time it is."""

from collections import deque
from dataclasses import dataclass, field
from statistics import quantiles

from taskandgo.task import Value
from taskandgo.words import TaskState

STEP_SECONDS = 5
STEPS = 180
LAST_WAITS = 1000


class Lines(Value, frozen=True):
    """The charts' lines: instants as Unix seconds, rates a second; None where nobody looked."""

    at: list[int]
    succeeded: list[float | None]
    failed: list[float | None]
    waiting: list[int | None]
    busy: list[int | None]
    slots: list[int | None]


@dataclass(slots=True)
class _Step:
    """What happened in one step, and what was there when it was last looked at."""

    number: int
    counted: bool = False
    succeeded: int = 0
    failed: int = 0
    waiting: int | None = None
    busy: int | None = None
    slots: int | None = None


@dataclass(slots=True)
class History:
    """Counts what happens by steps; bounded. `counting`: tasks that finish are told now."""

    counting: bool = False
    steps: deque[_Step] = field(default_factory=lambda: deque(maxlen=STEPS + 1))
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=LAST_WAITS))

    def finished(self, now: float, state: TaskState) -> None:
        """A task reached its final state."""
        step = self._step(now)
        if state is TaskState.SUCCEEDED:
            step.succeeded += 1
        elif state is not TaskState.CANCELLED:
            step.failed += 1

    def waiting(self, now: float, waiting: int | None) -> None:
        """So many tasks wait now; None: it is not known."""
        self._step(now).waiting = waiting

    def slots(self, now: float, busy: int, slots: int) -> None:
        """So many slots are busy now, of so many."""
        step = self._step(now)
        step.busy, step.slots = busy, slots

    def wait_seconds(self) -> tuple[float, float] | None:
        """How long the last tasks waited for their start: the median, and what 95 of 100 did not exceed."""
        if len(self.waits) < 2:  # noqa: PLR2004 - two make a distribution
            return None
        cuts = quantiles(self.waits, n=20, method="inclusive")
        return cuts[9], cuts[18]

    def per_second(self, now: float, seconds: int) -> tuple[float, float]:
        """Tasks that succeeded and that failed, a second, over the steps of so many seconds before this one."""
        last = int(now) // STEP_SECONDS
        first = last - seconds // STEP_SECONDS
        within = [step for step in self.steps if step.counted and first <= step.number < last]
        # What is not known of the time before the first step counts for nothing.
        span = STEP_SECONDS * max(1, last - within[0].number) if within else 1
        return sum(step.succeeded for step in within) / span, sum(step.failed for step in within) / span

    def lines(self, now: float) -> Lines:
        """Every step that is over, without gaps."""
        last = int(now) // STEP_SECONDS
        known = {step.number: step for step in self.steps}
        first = max(last - STEPS, min(known, default=last))
        steps = [known.get(number) or _Step(number, counted=self.counting) for number in range(first, last)]
        return Lines(
            at=[step.number * STEP_SECONDS for step in steps],
            succeeded=[step.succeeded / STEP_SECONDS if step.counted else None for step in steps],
            failed=[step.failed / STEP_SECONDS if step.counted else None for step in steps],
            waiting=[step.waiting for step in steps],
            busy=[step.busy for step in steps],
            slots=[step.slots for step in steps],
        )

    def _step(self, now: float) -> _Step:
        number = int(now) // STEP_SECONDS
        if not self.steps or self.steps[-1].number < number:
            self.steps.append(_Step(number, counted=self.counting))
        return self.steps[-1]
