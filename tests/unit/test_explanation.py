"""The rules of explanations: for every fact that can hold or end a task, the reason that is named, and what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.explanation.explain import explain, not_accepted
from taskandgo.explanation.facts import Ahead, EndedAttempt, RunningAttempt, Surroundings, TaskFacts
from taskandgo.explanation.phrases import counted, duration, indexes, size
from taskandgo.explanation.reasons import Explanation, ReasonCode
from taskandgo.heard_runners import MOST_RUNNERS, REMEMBERED, HeardRunner, HeardRunners
from taskandgo.messages import RunnerHeartbeat
from taskandgo.task import AttemptResult, Limits, Usage
from taskandgo.words import Outcome, Priority, Strategy, TaskState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ALIVE = HeardRunner("r1", "default", 2, 2, ("python",), "strict", draining=False, heard_at=NOW, interval_seconds=2.0)
AROUND = Surroundings(NOW, broker_connected=True, runners=(ALIVE,), heard_seconds=100.0)
QUEUED = TaskFacts(
    task_id="t",
    state=TaskState.QUEUED,
    outcome=None,
    priority=Priority.NORMAL,
    pool="default",
    strategy=Strategy.BATCH,
    queued_at=NOW - 10 * SECOND,
    chunk_count=1,
    chunks_ready=1,
)
RUNNING = replace(
    QUEUED,
    state=TaskState.RUNNING,
    started_at=NOW - 5 * SECOND,
    chunks_ready=0,
    chunks_running=1,
    running=(RunningAttempt(0, 2, "r1", NOW - 5 * SECOND),),
)
FAILED = replace(
    RUNNING, state=TaskState.FAILED, finished_at=NOW, running=(), chunks_running=0, chunks_failed=1, outcome=None
)
SPLIT = replace(QUEUED, strategy=Strategy.SPLIT, chunk_count=10)


def with_runner(**changed: object) -> Surroundings:
    """The surroundings with another runner."""
    return replace(AROUND, runners=(replace(ALIVE, **changed),))  # type: ignore[arg-type]


def codes(explanation: Explanation) -> list[ReasonCode]:
    """The codes of all reasons."""
    return [reason.code for reason in explanation.reasons]


def failed(outcome: Outcome, reason: str = "why", index: int = 0, **result: object) -> TaskFacts:
    """A task whose one chunk ended so."""
    ended = AttemptResult(outcome=outcome, reason=reason, **result)  # type: ignore[arg-type]
    return replace(FAILED, outcome=outcome, ended=EndedAttempt(index, 1, "r1", ended, "Traceback\nValueError: no\n\n"))


UNCUT = replace(QUEUED, chunk_count=0, chunks_ready=0)
URGENT, EQUAL = Ahead(Priority.CRITICAL, 2, 7), Ahead(Priority.NORMAL, 3, 3)
#: What is known, and the codes that it leads to, in their order.
WAITING = {
    "not before": (replace(UNCUT, not_before=NOW + SECOND), AROUND, [ReasonCode.NOT_BEFORE]),
    "not before, but past": (replace(UNCUT, not_before=NOW - SECOND), AROUND, [ReasonCode.DISPATCH]),
    "deadline": (replace(UNCUT, deadline=NOW + SECOND), AROUND, [ReasonCode.DISPATCH, ReasonCode.DEADLINE]),
    "no dispatcher": (UNCUT, AROUND, [ReasonCode.DISPATCH]),
    "broker away": (
        replace(UNCUT, unconfirmed_since=NOW),
        replace(AROUND, broker_connected=False),
        [ReasonCode.BROKER_AWAY],
    ),
    "no runners": (QUEUED, with_runner(pool="other"), [ReasonCode.NO_RUNNERS]),
    "silent runners": (QUEUED, with_runner(heard_at=NOW - 4 * SECOND), [ReasonCode.NO_RUNNERS]),
    "draining": (QUEUED, with_runner(draining=True), [ReasonCode.RUNNERS_DRAINING, ReasonCode.SLOTS_BUSY]),
    "slots busy": (QUEUED, AROUND, [ReasonCode.SLOTS_BUSY]),
    "slot free": (QUEUED, with_runner(busy=1), [ReasonCode.STARTING]),
    "urgent ahead": (
        replace(QUEUED, ahead=(URGENT, EQUAL)),
        AROUND,
        [ReasonCode.PRIORITY, ReasonCode.EARLIER, ReasonCode.SLOTS_BUSY],
    ),
    "ahead, and a heartbeat that is old": (
        replace(QUEUED, ahead=(EQUAL,)),
        with_runner(busy=0),
        [ReasonCode.EARLIER],
    ),
    "nothing ahead": (replace(QUEUED, ahead=(Ahead(Priority.HIGH, 0, 0),)), AROUND, [ReasonCode.SLOTS_BUSY]),
    "backoff": (
        replace(
            QUEUED, chunks_ready=0, retries=1, retry_at=NOW + SECOND, failed_count=1, retry_after="attempt 1: failed"
        ),
        AROUND,
        [ReasonCode.RETRY_BACKOFF, ReasonCode.FAILED_BEFORE],
    ),
    "window": (SPLIT, AROUND, [ReasonCode.SLOTS_BUSY, ReasonCode.SPLIT_WINDOW]),
    "between two steps": (replace(QUEUED, chunks_ready=0), AROUND, [ReasonCode.DISPATCH]),
    "runs": (RUNNING, AROUND, [ReasonCode.RUNNING]),
    "runs, silent": (
        RUNNING,
        with_runner(heard_at=NOW - 60 * SECOND),
        [ReasonCode.RUNNING, ReasonCode.RUNNER_SILENT],
    ),
    "runs, unheard of": (RUNNING, replace(AROUND, runners=()), [ReasonCode.RUNNING, ReasonCode.RUNNER_SILENT]),
    "runs, and listening has just begun": (
        RUNNING,
        replace(AROUND, runners=(), heard_seconds=1.0),
        [ReasonCode.RUNNING],
    ),
    "runs again": (
        replace(RUNNING, lost_count=1, failed_count=2),
        AROUND,
        [ReasonCode.RUNNING, ReasonCode.LOST_BEFORE, ReasonCode.FAILED_BEFORE],
    ),
}
ENDED = {
    "succeeded": (replace(FAILED, state=TaskState.SUCCEEDED, chunks_failed=0), [ReasonCode.SUCCEEDED]),
    "cancelled": (replace(FAILED, state=TaskState.CANCELLED), [ReasonCode.CANCELLED]),
    "expired": (replace(FAILED, state=TaskState.EXPIRED, deadline=NOW), [ReasonCode.EXPIRED]),
    "exit code": (failed(Outcome.FAILED), [ReasonCode.EXIT_CODE]),
    "compile": (failed(Outcome.COMPILE_FAILED), [ReasonCode.COMPILE_FAILED]),
    "timeout": (failed(Outcome.TIMED_OUT), [ReasonCode.TIMED_OUT]),
    "memory": (failed(Outcome.OUT_OF_MEMORY), [ReasonCode.OUT_OF_MEMORY]),
    "output": (failed(Outcome.OUTPUT_LIMIT), [ReasonCode.OUTPUT_LIMIT]),
    "killed": (failed(Outcome.KILLED), [ReasonCode.KILLED]),
    "lost": (failed(Outcome.LOST), [ReasonCode.RUNNERS_LOST]),
    "sandbox": (failed(Outcome.SANDBOX_ERROR), [ReasonCode.SANDBOX_ERROR]),
    "tried often": (replace(failed(Outcome.FAILED), failed_count=2), [ReasonCode.EXIT_CODE, ReasonCode.FAILED_BEFORE]),
    "chunks missing": (
        replace(failed(Outcome.FAILED), chunk_count=10, chunks_failed=2, missing_chunks=(3, 7)),
        [ReasonCode.CHUNKS_MISSING, ReasonCode.EXIT_CODE],
    ),
    "reduce": (
        replace(failed(Outcome.FAILED, index=10), chunk_count=10, chunks_failed=0, reduces=True),
        [ReasonCode.REDUCE_FAILED, ReasonCode.EXIT_CODE],
    ),
}


@pytest.mark.parametrize(("task", "around", "expected"), WAITING.values(), ids=WAITING)
def test_an_open_task_is_explained(task: TaskFacts, around: Surroundings, expected: list[ReasonCode]) -> None:
    explanation = explain(task, around)
    assert codes(explanation) == expected
    assert explanation.headline.endswith(explanation.reasons[0].text)


@pytest.mark.parametrize(("task", "expected"), ENDED.values(), ids=ENDED)
def test_an_ended_task_is_explained_whatever_is_around(task: TaskFacts, expected: list[ReasonCode]) -> None:
    explanation = explain(task, replace(AROUND, broker_connected=False, runners=()))
    assert codes(explanation) == expected
    assert explanation.headline.startswith(f"{task.state.value.capitalize()}: ")
    assert explanation.todo


def test_every_reason_is_reached_by_some_fact() -> None:
    reached = {code for _, _, expected in WAITING.values() for code in expected}
    reached |= {code for _, expected in ENDED.values() for code in expected}
    assert reached | {ReasonCode.ADMISSION} == set(ReasonCode)


def test_the_api_has_every_code() -> None:
    known = {name.removeprefix("REASON_CODE_").lower() for name in api.ReasonCode.DESCRIPTOR.values_by_name} - {
        "unspecified"
    }
    assert known == {code.value for code in ReasonCode}


def test_a_task_that_is_held_back_has_no_state() -> None:
    explanation = not_accepted("t", "5 tasks are queued")
    assert (explanation.state, codes(explanation)) == (None, [ReasonCode.ADMISSION])
    assert "5 tasks are queued" in explanation.headline


def test_the_position_is_told_and_is_said_to_be_a_bound_when_counting_stopped() -> None:
    exact = explain(replace(QUEUED, ahead=(URGENT, EQUAL)), AROUND)
    assert (exact.position, exact.position_is_least) == (11, False)
    assert exact.headline.startswith("Waiting, number 11 in the queue of pool 'default': 2 more urgent tasks are ahead")
    bound = explain(replace(QUEUED, ahead=(replace(URGENT, is_least=True),)), AROUND)
    assert (bound.position, bound.position_is_least) == (8, True)
    assert "at least number 8" in bound.headline
    assert explain(UNCUT, AROUND).position == 0


def test_what_is_asked_and_what_was_used_are_both_told() -> None:
    limits = Limits(timeout_seconds=2.0, memory_bytes=64 * 2**20, output_bytes=1000)
    usage = Usage(wall_seconds=2.01, cpu_seconds=0.5, peak_memory_bytes=2**26, output_bytes=2048)

    def told(outcome: Outcome, limits: Limits) -> str:
        return explain(replace(failed(outcome, usage=usage), limits=limits), AROUND).headline

    assert "used 2.01 s of time and 0.5 s of CPU; the task asked for 2 s" in told(Outcome.TIMED_OUT, limits)
    assert "had 64 MiB at its peak; the task asked for 64 MiB" in told(Outcome.OUT_OF_MEMORY, limits)
    assert "wrote 2 KiB; the task asked for 1000 bytes" in told(Outcome.OUTPUT_LIMIT, limits)
    assert "the task asked for no limit, so the runner's default counts" in told(Outcome.TIMED_OUT, Limits())


def test_what_the_code_and_the_compiler_wrote_is_quoted() -> None:
    assert explain(failed(Outcome.FAILED), AROUND).headline.endswith("    ValueError: no")
    refused = failed(Outcome.COMPILE_FAILED, stderr=b"./main.go:3: undefined: x\n" * 50)
    assert explain(refused, AROUND).headline.count("undefined: x") == 6


def test_a_runner_is_alive_until_its_next_heartbeat_is_overdue() -> None:
    assert not ALIVE.is_silent(NOW + 3 * SECOND)
    assert ALIVE.is_silent(NOW + 4 * SECOND)
    assert not replace(ALIVE, interval_seconds=10.0).is_silent(NOW + 15 * SECOND)


def test_heard_runners_are_bounded_and_forgotten() -> None:
    class Hand:
        instant = NOW

        def now(self) -> datetime:
            return self.instant

    def beat(name: str) -> RunnerHeartbeat:
        known = {"pool": "default", "slots": 2, "busy": 0, "languages": ["go"], "isolation": "strict", "sent_at": NOW}
        return RunnerHeartbeat(runner=name, **known)  # type: ignore[arg-type]

    clock = Hand()
    runners = HeardRunners(clock)
    for number in range(MOST_RUNNERS + 5):
        runners.hear(beat(str(number)))
    assert len(runners.all()) == MOST_RUNNERS
    clock.instant = NOW + REMEMBERED + SECOND
    runners.hear(beat("last"))
    assert [runner.runner for runner in runners.all()] == ["last"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((0.0, "0 s"), (-1.0, "0 s"), (1.234, "1.23 s"), (59.9, "59.9 s"), (60, "1 min")),
        *((0.0009, "0 s"), (0.001, "1 ms"), (0.0063, "6.3 ms"), (0.0123, "12 ms"), (0.0996, "100 ms"), (0.5, "0.5 s")),
        *((200, "3 min 20 s"), (3600, "1 h"), (7500, "2 h 5 min"), (90_000, "1 d 1 h")),
    ],
)
def test_durations_are_said_with_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_sizes_counts_and_indexes_are_said_to_people() -> None:
    assert [size(n) for n in (12, 1536, 2**20, 2**31)] == ["12 bytes", "1.5 KiB", "1 MiB", "2 GiB"]
    assert (counted(1, "task"), counted(2000, "task", is_least=True)) == ("1 task", "at least 2,000 tasks")
    assert (indexes((1, 2), 2), indexes(tuple(range(30)), 30)[-5:]) == ("1, 2", "19, …")
