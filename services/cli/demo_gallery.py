"""What the demo shows, piece by piece; each piece says what happened and whether that was right."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from grpc.aio import AioRpcError
from rich.console import Console
from rich.text import Text

from services.cli.following import submit_and_wait, wait_for_end
from services.cli.showing import outcome_word, seconds_between
from taskandgo.api import scheduler_pb2 as api

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

EXAMPLES = Path(__file__).parents[2] / "examples"
PI_BEGINS, PI_ENDS, PI_LENGTH = "3.14159265358979323846", "2164201989", 1002
NILAKANTHA = "3.1172378336938116"
LOW_TASKS = 8
SLEEP = "python:import time; time.sleep(0.2)"


@dataclass(slots=True)
class Finding:
    """What a piece of the gallery found."""

    right: bool
    lines: list[str] = field(default_factory=list)


Piece = Callable[["SchedulerAsyncStub"], Awaitable[Finding]]


async def show_gallery(stub: "SchedulerAsyncStub") -> bool:
    """Show every piece; whether all were right."""
    console = Console(highlight=False, soft_wrap=True)
    wrong = []
    for title, piece in GALLERY.items():
        console.print(Text(f"\n{title}", "bold"))
        started = time.monotonic()
        finding = await _shown(console, piece, stub)
        for line in finding.lines:
            console.print(Text(f"  {line}"))
        mark = Text("  right", "green") if finding.right else Text("  WRONG", "bold red")
        console.print(mark, f"in {time.monotonic() - started:.2f} s")
        wrong += [] if finding.right else [title]
    console.print(Text(f"\nWrong: {'; '.join(wrong)}", "bold red") if wrong else Text("\nAll was right.", "bold green"))
    return not wrong


async def _shown(console: Console, piece: Piece, stub: "SchedulerAsyncStub") -> Finding:
    with console.status("running (the first Go task also prepares the standard library, about 10 s)"):
        try:
            return await piece(stub)
        except AioRpcError as error:
            return Finding(right=False, lines=[f"{error.code().name}: {error.details()}"])


async def _pi_in_python(stub: "SchedulerAsyncStub") -> Finding:
    final = await submit_and_wait(stub, _example("demo_pi_python", "python", "pi.py"))
    digits = final.result.stdout.strip()
    right = digits.startswith(PI_BEGINS) and digits.endswith(PI_ENDS) and len(digits) == PI_LENGTH
    shown = f"{digits[:32]}…{digits[-10:]} ({len(digits) - 2} decimals)"
    return Finding(right, [shown, *_explained(final)])


async def _pi_in_go(stub: "SchedulerAsyncStub") -> Finding:
    final = await submit_and_wait(stub, _example("demo_pi_go", "go", "pi_nilakantha.go"))
    shown = final.result.stdout.strip()
    compiled = f"compiled in {final.result.usage.compile_seconds:.2f} s"
    return Finding(shown == NILAKANTHA, [f"{shown} (expected {NILAKANTHA}), {compiled}", *_explained(final)])


async def _high_overtakes_low(stub: "SchedulerAsyncStub") -> Finding:
    low = [api.Task(task_id=f"demo_low_{n}", priority="low", data=SLEEP) for n in range(1, LOW_TASKS + 1)]
    await stub.SubmitTasks(api.SubmitTasksRequest(tasks=low))
    high = api.Task(task_id="demo_high", priority="high", data=SLEEP)
    await stub.SubmitTask(api.SubmitTaskRequest(task=high))
    finals = await asyncio.gather(*(wait_for_end(stub, task.task_id) for task in (*low, high)))
    ordered = sorted(finals, key=lambda task: task.started_at.ToNanoseconds())
    place = 1 + [task.task_id for task in ordered].index("demo_high")
    order = " ".join("HIGH" if task.priority == "high" else "low" for task in ordered)
    overtaken = len(ordered) - place
    waited = seconds_between(finals[-1].queued_at, finals[-1].started_at)
    lines = [
        f"order of starts: {order}",
        f"submitted last, it overtook {overtaken} of {LOW_TASKS}; waited {waited:.2f} s",
    ]
    all_succeeded = all(task.state == api.TASK_STATE_SUCCEEDED for task in finals)
    # Those that had started before it came cannot be overtaken.
    return Finding(all_succeeded and overtaken >= LOW_TASKS // 2, lines)


async def _failure_explained(stub: "SchedulerAsyncStub") -> Finding:
    final = await submit_and_wait(stub, _example("demo_fails", "python", "fails.py"))
    explained = bool(final.result.reason) and "ZeroDivisionError" in final.result.stderr
    right = final.state == api.TASK_STATE_FAILED and final.result.exit_code == 1 and explained
    last = final.result.stderr.strip().splitlines()[-1:]
    return Finding(right, [*_explained(final), *(f"its last words: {line}" for line in last)])


def _example(task_id: str, language: str, name: str) -> api.Task:
    return api.Task(task_id=task_id, data=f"{language}:{(EXAMPLES / name).read_text()}")


def _explained(task: api.TaskStatus) -> list[str]:
    if task.state == api.TASK_STATE_SUCCEEDED:
        usage = task.result.usage
        return [f"ran {usage.wall_seconds:.3f} s, {usage.peak_memory_bytes / 2**20:.0f} MiB at most"]
    return [f"{outcome_word(task.result)}: {task.result.reason}"]


GALLERY: dict[str, Piece] = {
    "1000 decimals of pi, in Python": _pi_in_python,
    "1000 terms of Nilakantha's series, in Go": _pi_in_go,
    "A high-priority task overtakes a line of low ones": _high_overtakes_low,
    "A task that fails, and why": _failure_explained,
}
