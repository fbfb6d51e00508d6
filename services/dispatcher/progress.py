"""How a task goes on after an attempt at one of its chunks ended: the rules, applied inside the store's transaction.

Pure but for the jitter. Promises: a chunk ends once, whatever comes how often; every end either finishes the
chunk, or leaves another attempt at it under way or due; a task with chunks left has one of them in flight.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from services.dispatcher import retry
from services.dispatcher.stragglers import Patience, most_done
from services.dispatcher.strategies.gather import Counts, Step, next_step
from taskandgo.messages import ChunkFinished
from taskandgo.store.progress import ChunkProgress, TaskProgress, open_chunk
from taskandgo.store.records import WHOLE_TASK, Ending, OpenChunk, Recorded
from taskandgo.words import ChunkState, Outcome, TaskState, TimerKind

DROPPED = Recorded(kept=False)
KEPT = Recorded(kept=True)


@dataclass(frozen=True, slots=True)
class Progress:
    """The rules: `window` says how many chunks of a task, each so long, a pool may have in flight at a time.

    A chunk is given up that `max_lost` runners died of, or that was lost `max_lost_unstarted` times in a row before
    it was seen to run.
    """

    window: Callable[[str, float], int]
    max_lost: int
    max_lost_unstarted: int
    patience: Patience

    def refill(self, task: TaskProgress) -> list[OpenChunk]:
        """Let as many chunks into the queue as the window takes, or the reduce when it is its turn."""
        opened: list[OpenChunk] = []
        window = self.window(task.pool, task.mean_seconds)
        while task.in_flight < window and (chunk := task.open_next()):
            opened.append(chunk)
        reduce_opened = task.next_chunk > task.chunk_count
        if not task.in_flight and not reduce_opened and next_step(counts(task)) is Step.REDUCE:
            opened.append(task.open_chunk(task.chunk_count))
        return opened

    def advance(self, task: TaskProgress, chunk: ChunkProgress, ending: Ending) -> Recorded:
        """Apply the end of an attempt to an open task and its chunk."""
        message = ending.message
        lost = message.result.outcome is Outcome.LOST
        if message.attempt not in chunk.live:
            # The dispatcher before may have died between replacing what was lost and emitting it.
            emitted = lost and ending.redelivered and chunk.state == ChunkState.READY
            return Recorded(kept=False, emit=[open_chunk(chunk, task.chunk_count)]) if emitted else DROPPED
        if chunk.duplicate and message.result.outcome is not Outcome.SUCCEEDED:
            return _leave_it_to_the_other(chunk, message.attempt, died=lost and not message.alive)
        if lost:
            return self._replace(task, chunk, ending)
        wait = None
        if message.result.outcome is not Outcome.SUCCEEDED:
            wait = _wait_seconds(task, chunk, message.result.outcome)
        if wait is None:
            return self._finish(task, chunk, ending, message)
        return self._retry(task, chunk, ending, wait)

    def seconds_until_straggling(self, task: TaskProgress) -> float:
        """After how long a chunk of this task straggles."""
        return self.patience.seconds(task.mean_seconds)

    def _replace(self, task: TaskProgress, chunk: ChunkProgress, ending: Ending) -> Recorded:
        died = not ending.message.alive
        _count_loss(chunk, died=died)
        if died and (reason := self._why_give_up(chunk)):
            recorded = self._finish(task, chunk, ending, _given_up(ending.message, reason))
            return msgspec.structs.replace(recorded, given_up=True)
        if chunk.unstarted_count > 1:
            # Apart from what was lost with it: the next runner that it kills should not be theirs again.
            return self._wait(task, chunk, ending, random.uniform(0, chunk.unstarted_count))  # noqa: S311 - no secret
        task.leave(chunk.state)
        task.chunks_ready += 1
        _next_attempt(chunk, ChunkState.READY)
        chunk.ready_at = ending.at
        return Recorded(kept=True, emit=[open_chunk(chunk, task.chunk_count)])

    def _why_give_up(self, chunk: ChunkProgress) -> str:
        if chunk.state == ChunkState.RUNNING and chunk.lost_count >= self.max_lost:
            return f"given up: {self.max_lost} runners died while running this chunk"
        if chunk.unstarted_count >= self.max_lost_unstarted:
            times = f"{self.max_lost_unstarted} times in a row"
            return f"given up: it was lost with its runner {times} before it was seen to run"
        return ""

    def _retry(self, task: TaskProgress, chunk: ChunkProgress, ending: Ending, wait: float) -> Recorded:
        chunk.failed_count += 1
        chunk.out_of_memory_count += ending.message.result.outcome is Outcome.OUT_OF_MEMORY
        return msgspec.structs.replace(self._wait(task, chunk, ending, wait), retried=True)

    def _wait(self, task: TaskProgress, chunk: ChunkProgress, ending: Ending, wait: float) -> Recorded:
        result = ending.message.result
        task.leave(chunk.state)
        chunk.due_at = ending.at + timedelta(seconds=wait)
        chunk.reason = f"attempt {ending.message.attempt}: {result.outcome}, {result.reason}".replace("\0", "")
        _next_attempt(chunk, ChunkState.WAITING)
        task.set_timer(TimerKind.RETRY, chunk.chunk_index, chunk.due_at)
        return self._with_next(task, chunk)

    def _finish(self, task: TaskProgress, chunk: ChunkProgress, ending: Ending, message: ChunkFinished) -> Recorded:
        task.leave(chunk.state)
        losers = chunk.live - {message.attempt}
        chunk.state, chunk.ending = ChunkState.FINISHED.value, message
        chunk.attempt, chunk.duplicate = message.attempt, 0
        if message.started_at:
            task.started_at = min(task.started_at or message.started_at, message.started_at)
            task.state = TaskState.RUNNING.value
        self._count(task, chunk, ending.at)
        _settle(task, chunk, message)
        recorded = self._with_next(task, chunk) if task.open else KEPT
        return msgspec.structs.replace(recorded, cancel=sorted(losers))

    def _count(self, task: TaskProgress, chunk: ChunkProgress, at: datetime) -> None:
        if chunk.ending is None or chunk.chunk_index >= task.chunk_count:
            return
        were_most = most_done(task.chunk_count, task.chunks_succeeded + task.chunks_failed)
        if chunk.ending.result.outcome is Outcome.SUCCEEDED:
            task.chunks_succeeded += 1
            task.succeeded_seconds += chunk.ending.result.usage.wall_seconds
        else:
            task.chunks_failed += 1
        if not were_most and most_done(task.chunk_count, task.chunks_succeeded + task.chunks_failed):
            due_at = at + timedelta(seconds=self.seconds_until_straggling(task))
            task.set_timer(TimerKind.DUPLICATE, WHOLE_TASK, due_at)

    def _with_next(self, task: TaskProgress, chunk: ChunkProgress) -> Recorded:
        opened = self.refill(task)
        if opened:
            # Kept with the chunk, and with what its earlier attempts opened, for the case that the dispatcher
            # dies before it has emitted them.
            first, last = opened[0].chunk_index, opened[-1].chunk_index + 1
            chunk.opened_from = first if chunk.opened_from is None else min(chunk.opened_from, first)
            chunk.opened_to = max(chunk.opened_to or 0, last)
        chunk.changed = True
        return Recorded(kept=True, emit=opened)


def counts(task: TaskProgress) -> Counts:
    """What the gather decides by."""
    return Counts(task.chunk_count, task.chunks_succeeded, task.chunks_failed, task.min_succeeded, task.reduces)


def _settle(task: TaskProgress, chunk: ChunkProgress, message: ChunkFinished) -> None:
    """Bring the task into its final state, if this was the chunk that it waited for."""
    outcome = message.result.outcome
    if chunk.chunk_index >= task.chunk_count:
        state = TaskState.SUCCEEDED if outcome is Outcome.SUCCEEDED else TaskState.FAILED
        return task.finish(state, message.finished_at, outcome)
    match next_step(counts(task)):
        case Step.SUCCEED:
            task.finish(TaskState.SUCCEEDED, message.finished_at, Outcome.SUCCEEDED)
        case Step.FAIL:
            task.finish(TaskState.FAILED, message.finished_at, outcome if task.chunk_count == 1 else None)
    return None


def _leave_it_to_the_other(chunk: ChunkProgress, attempt: int, *, died: bool) -> Recorded:
    if attempt == chunk.attempt:
        chunk.attempt = chunk.duplicate
    chunk.lost_count += died
    chunk.duplicate, chunk.changed = 0, True
    return KEPT


def _count_loss(chunk: ChunkProgress, *, died: bool) -> None:
    if chunk.state == ChunkState.RUNNING:
        chunk.lost_count += died
        chunk.unstarted_count = 0
    else:
        # No proof of a death: a broker that restarts redelivers too. So it takes more of these.
        chunk.unstarted_count += died


def _next_attempt(chunk: ChunkProgress, state: ChunkState) -> None:
    chunk.attempts += 1
    chunk.attempt, chunk.state = chunk.attempts, state.value
    chunk.runner, chunk.started_at, chunk.changed = "", None, True


def _wait_seconds(task: TaskProgress, chunk: ChunkProgress, outcome: Outcome) -> float | None:
    jitter = random.random()  # noqa: S311 - no secret
    return retry.wait_seconds(outcome, chunk.failed_count + 1, task.max_attempts, task.backoff_seconds, jitter)


def _given_up(message: ChunkFinished, reason: str) -> ChunkFinished:
    return msgspec.structs.replace(message, result=msgspec.structs.replace(message.result, reason=reason))
