"""What became of a campaign: which promises were broken, and the table that tells it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from rich.console import Console
from rich.table import Table

from taskandgo.api import scheduler_pb2 as api
from tests.chaos.client import Client

#: What a service answers only when it has a fault of its own.
FAULTY = ("UNKNOWN", "INTERNAL")
LOST, TWICE, WRONG = "lost", "recorded twice", "wrong result"
OPEN = (api.TASK_STATE_QUEUED, api.TASK_STATE_RUNNING)


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault, and how long it lasted."""

    name: str
    began_at: datetime
    over_at: datetime


@dataclass(frozen=True)
class Verdict:
    """Everything that the table tells."""

    seed: int
    submitted: int
    statuses: Mapping[str, api.TaskStatus]
    breaches: Sequence[tuple[str, str]]
    injected: Sequence[Injected]
    ended_at: Sequence[datetime]
    executions: Mapping[int, int]
    answers: Mapping[str, int]
    longest_answer_seconds: float
    quiet_seconds: float
    dead_letters: int
    exits: Mapping[str, Mapping[int, int]]

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return not self.breaches

    def show(self) -> None:
        """Print the table."""
        console = Console(width=110)
        console.print(self._promises(), self._faults())
        console.print(f"ended by themselves or killed: {self.exits}")
        for kind, said in self.breaches:
            console.print(f"[red]{kind}[/red]: {said}", markup=True, soft_wrap=True)

    def _promises(self) -> Table:
        table = Table("what", "how many", title=f"seed {self.seed}")
        states = Counter(api.TaskState.Name(one.state) for one in self.statuses.values())
        breaches = Counter(kind for kind, _ in self.breaches)
        rows: dict[str, object] = {"submitted": self.submitted, "accepted": len(self.statuses) + breaches["unknown"]}
        rows |= {name.removeprefix("TASK_STATE_").lower(): count for name, count in sorted(states.items())}
        rows |= {kind: breaches[kind] for kind in (LOST, TWICE, WRONG)}
        rows |= {f"chunks run {times} times": count for times, count in sorted(self.executions.items())}
        rows |= {f"calls answered {code}": count for code, count in sorted(self.answers.items())}
        rows |= {"longest call": f"{self.longest_answer_seconds:.1f} s", "quiet after": f"{self.quiet_seconds:.1f} s"}
        rows |= {"dead letters": self.dead_letters}
        for name, value in rows.items():
            table.add_row(name, str(value))
        return table

    def _faults(self) -> Table:
        table = Table("fault", "times", "lasted", "longest stall")
        for name in sorted({one.name for one in self.injected}):
            times = [one for one in self.injected if one.name == name]
            lasted = max((one.over_at - one.began_at).total_seconds() for one in times)
            table.add_row(name, str(len(times)), f"{lasted:.1f} s", f"{max(map(self._stall, times)):.1f} s")
        return table

    def _stall(self, fault: Injected) -> float:
        """The longest time without any task ending, of those that overlap with the fault."""
        instants = sorted(self.ended_at)
        pairs = [(a, b) for a, b in pairwise(instants) if b > fault.began_at and a < fault.over_at]
        return max(((b - a).total_seconds() for a, b in pairs), default=0.0)


def breaches_of(client: Client, statuses: Mapping[str, api.TaskStatus | None]) -> Iterator[tuple[str, str]]:
    """Every promise to a client that was broken, with its kind."""
    for task_id in client.submitted.keys() - client.accepted.keys():
        yield "unanswered", f"{task_id} was never answered"
    for code in FAULTY:
        if client.answers[code]:
            yield "faulty answer", f"{client.answers[code]} calls were answered {code}"
    for task_id, status in statuses.items():
        if status is None or status.state in OPEN:
            yield LOST, f"{task_id} ({client.accepted[task_id].kind}) is {status and api.TaskState.Name(status.state)}"
        elif said := _wrong(client, task_id, status):
            yield WRONG, f"{task_id} ({client.accepted[task_id].kind}): {said}"


def _wrong(client: Client, task_id: str, status: api.TaskStatus) -> str:
    mixed = client.accepted[task_id]
    if mixed.cancel_after_seconds is not None and task_id not in client.cancelled:
        return ""  # its cancel came too late
    if status.state != mixed.state:
        return f"{api.TaskState.Name(status.state)}, {status.result.reason or status.result.stderr[-500:]}"
    if mixed.stdout is not None and status.result.stdout != mixed.stdout:
        return f"wrote {status.result.stdout[:200]!r}, not {mixed.stdout[:200]!r}"
    return ""
