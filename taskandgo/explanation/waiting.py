"""Why a task that has chunks left to start does not start them: what holds it, the strongest hold first."""

from collections.abc import Iterator

from taskandgo.explanation.facts import Surroundings, TaskFacts
from taskandgo.explanation.phrases import between, counted, duration, instant
from taskandgo.explanation.reasons import Reason, ReasonCode
from taskandgo.heard_runners import HeardRunner

MORE_SLOTS = "start more runners of its pool, or give them more slots (RUNNER_SLOTS)"
MORE_URGENT = "submit it with a higher --priority, or add runners"


def why_waiting(task: TaskFacts, around: Surroundings) -> Iterator[Reason]:
    """The reasons; at least one."""
    if task.not_before and task.not_before > around.now and not task.chunk_count:
        yield _not_before(task, around)
    elif not around.broker_connected:
        yield _broker_away(task, around)
    elif not task.chunk_count:
        yield _dispatch(task, around)
    elif task.chunks_ready:
        yield from _in_queue(task, around)
    if task.retries:
        yield _backoff(task, around)
    if task.deadline and task.deadline > around.now and not task.started_at:
        text = f"it expires unless it has started by {instant(task.deadline)}, in {between(around.now, task.deadline)}"
        yield Reason(ReasonCode.DEADLINE, text)


def why_chunks_wait(task: TaskFacts) -> Iterator[Reason]:
    """Chunks that are not in the queue although nothing failed: their turn has not come."""
    unopened = task.chunk_count - task.chunks_ended - task.chunks_ready - task.chunks_running - task.retries
    if task.many and unopened > 0:
        text = (
            f"{counted(unopened, 'chunk')} of it {_is(unopened)} not in the queue yet: a task has only about as many "
            "there as its pool has slots, so that it does not stand in front of its equals"
        )
        yield Reason(ReasonCode.SPLIT_WINDOW, text)


def position(task: TaskFacts) -> tuple[int, bool]:
    """The place of its next chunk in the queue, from 1, and whether it is at least that; 0: it is not there."""
    if not task.chunks_ready:
        return 0, False
    return 1 + sum(one.chunks for one in task.ahead), any(one.is_least for one in task.ahead)


def _not_before(task: TaskFacts, around: Surroundings) -> Reason:
    assert task.not_before
    text = f"it is not to start before {instant(task.not_before)}, in {between(around.now, task.not_before)}"
    return Reason(ReasonCode.NOT_BEFORE, text, "to have it start sooner, cancel it and submit it under another id")


def _broker_away(task: TaskFacts, around: Surroundings) -> Reason:
    announced = "it is recorded, and goes into the queue once the broker is back"
    if not task.unconfirmed_since and task.chunk_count:
        announced = "it goes on once the broker is back"
    del around
    todo = "see that RabbitMQ runs and is reachable at BROKER_URL; nothing has to be submitted again"
    return Reason(ReasonCode.BROKER_AWAY, f"the broker is away; {announced}", todo)


def _dispatch(task: TaskFacts, around: Surroundings) -> Reason:
    waited = between(task.queued_at, around.now)
    todo = "if this lasts, see that a dispatcher runs: taskandgo dispatcher"
    return Reason(ReasonCode.DISPATCH, f"no dispatcher has taken it up yet; it was accepted {waited} ago", todo)


def _in_queue(task: TaskFacts, around: Surroundings) -> Iterator[Reason]:
    runners = around.pool(task.pool)
    if not runners:
        yield _no_runners(task, around)
    elif all(runner.draining for runner in runners):
        text = f"every runner of pool {task.pool!r} is stopping and takes nothing new"
        yield Reason(ReasonCode.RUNNERS_DRAINING, text, f"start a runner: RUNNER_POOL={task.pool} taskandgo runner")
    behind = list(_behind_others(task))
    yield from behind
    if any(runner.free for runner in runners):
        # A heartbeat may be a little old: whoever is ahead takes that slot.
        if not behind:
            yield Reason(ReasonCode.STARTING, f"{_slots(task, runners)}: its turn comes now")
    elif runners:
        yield Reason(ReasonCode.SLOTS_BUSY, _slots(task, runners), MORE_SLOTS)


def _no_runners(task: TaskFacts, around: Surroundings) -> Reason:
    text = f"no runner of pool {task.pool!r} is alive"
    if not around.has_heard_all:
        text = f"no runner of pool {task.pool!r} has been heard in the {duration(around.heard_seconds)} of listening"
    others = f"; pools with runners: {', '.join(around.pools)}" if around.pools else ""
    todo = f"start one: RUNNER_POOL={task.pool} taskandgo runner"
    if around.pools:
        todo += f"; or submit it with --pool {around.pools[0]}"
    return Reason(ReasonCode.NO_RUNNERS, text + others, todo)


def _behind_others(task: TaskFacts) -> Iterator[Reason]:
    urgent = [one for one in task.ahead if one.priority > task.priority and one.chunks]
    if urgent:
        total, is_least = sum(one.tasks for one in urgent), any(one.is_least for one in urgent)
        each = ", ".join(f"{one.tasks:,} {one.priority.word}" for one in urgent)
        more = f"{counted(total, 'more urgent task', is_least=is_least)} {_is(total)} ahead of it ({each})"
        yield Reason(ReasonCode.PRIORITY, more, MORE_URGENT)
    for one in task.ahead:
        if one.priority == task.priority and one.chunks:
            earlier = counted(one.tasks, f"{one.priority.word} task", is_least=one.is_least)
            text = f"{earlier} accepted earlier {_is(one.tasks)} ahead of it"
            yield Reason(ReasonCode.EARLIER, text, MORE_SLOTS)


def _slots(task: TaskFacts, runners: list[HeardRunner]) -> str:
    slots = sum(runner.slots for runner in runners if not runner.draining)
    free = sum(runner.free for runner in runners)
    how = f"{free} of them free" if free else "none of them free"
    return f"pool {task.pool!r} has {counted(slots, 'slot')} on {counted(len(runners), 'runner')}, {how}"


def _backoff(task: TaskFacts, around: Surroundings) -> Reason:
    who = counted(task.retries, "chunk") if task.many else "it"
    when = "now"
    if task.retry_at and task.retry_at > around.now:
        when = f"at {instant(task.retry_at)}, in {between(around.now, task.retry_at)}"
    after = f", after {task.retry_after}" if task.retry_after else ""
    text = f"{who} will be tried again {when}{after}; it may have {counted(task.max_attempts, 'attempt')} in all"
    return Reason(ReasonCode.RETRY_BACKOFF, text)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
