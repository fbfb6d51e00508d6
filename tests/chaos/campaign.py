"""One campaign: a steady stream of tasks under faults on a schedule, then quiet, then what became of it all."""

import asyncio
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc

from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.topology import DEAD_LETTER
from taskandgo.crash_points import CrashPoint
from tests.chaos.audit import Recordings, read_audit
from tests.chaos.executions import executions, per_chunk
from tests.chaos.faults import FAULTS
from tests.chaos.faults.of_resources import KILLER
from tests.chaos.verdict import Injected, Verdict, breaches_of
from tests.chaos.world import World, make_world

PAUSE_SECONDS = (1.0, 5.0)
#: How long everything may take to end once the last fault is over; there may be a backlog.
QUIET_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign is; the same plan injects the same faults in the same order, and submits the same tasks."""

    seed: int
    seconds: float
    tasks_per_second: float = 4.0
    faults: Sequence[str] = field(default_factory=lambda: tuple(FAULTS))
    #: Where the logs go when it is over.
    keep: str | None = None

    def order(self) -> list[str]:
        """Faults one after the other, each as often as the others; more than there is time for."""
        dice = random.Random(self.seed)
        rounds = [dice.sample(self.faults, len(self.faults)) for _ in range(100)]
        return [name for one in rounds for name in one]


async def run_campaign(plan: Plan) -> Verdict:
    """Run it to its end."""
    async with make_world(CRASH_AT=f"{CrashPoint.CHUNK_EXECUTED}:{KILLER}") as world:
        await world.client.call(lambda stub: stub.ListTasks(api.ListTasksRequest(page_size=1), timeout=20))
        submitting = world.client.submit_for(plan.seconds, plan.tasks_per_second, plan.seed)
        _, injected = await asyncio.gather(submitting, _inject(world, plan))
        began = time.monotonic()
        await _quiet(world)
        verdict = await _judge(world, plan, injected, time.monotonic() - began)
        if plan.keep:
            shutil.copytree(world.folder, plan.keep, ignore=shutil.ignore_patterns("*.tmp"), dirs_exist_ok=True)
        return verdict


async def _inject(world: World, plan: Plan) -> list[Injected]:
    end, injected = time.monotonic() + plan.seconds, []
    for number, name in enumerate(plan.order()):
        dice = random.Random(f"{plan.seed}/{number}")
        await asyncio.sleep(dice.uniform(*PAUSE_SECONDS))
        if time.monotonic() > end:
            break
        began = datetime.now(UTC)
        try:
            await FAULTS[name].inject(world, dice)
        except Exception as error:  # noqa: BLE001 - a fault that cannot be had now is told, and the campaign goes on
            print(f"fault {name} could not be injected: {error!r}")
        injected.append(Injected(name, began, datetime.now(UTC)))
        print(f"{began:%H:%M:%S} {name}, {(injected[-1].over_at - began).total_seconds():.1f} s", flush=True)
    return injected


async def _quiet(world: World) -> None:
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            await world.client.settle()
            while await world.open_tasks():
                await asyncio.sleep(0.5)
    except TimeoutError:
        print("it does not become quiet")


async def _judge(world: World, plan: Plan, injected: Sequence[Injected], quiet_seconds: float) -> Verdict:
    client = world.client
    recordings = await read_audit(world.postgres.url, client.retried)
    statuses = await asyncio.gather(*(_status(world, task_id) for task_id in client.accepted))
    dead_letters = await _dead_letters(world)
    ran = executions((one.log for one in world.fleet.of("runner")), world.listener.heard)
    return Verdict(
        seed=plan.seed,
        submitted=len(client.submitted),
        statuses={name: found for name, found in zip(client.accepted, statuses, strict=True) if found},
        breaches=[
            *breaches_of(client, dict(zip(client.accepted, statuses, strict=True))),
            *_twice(world, recordings),
            *_badly_dead_lettered(world, dead_letters),
        ],
        injected=injected,
        ended_at=recordings.ended_at,
        executions=per_chunk(ran),
        answers=client.answers,
        longest_answer_seconds=client.longest_seconds,
        quiet_seconds=quiet_seconds,
        dead_letters=dead_letters,
        exits={one.name: dict(one.exits) for one in world.fleet.members.values()},
    )


def _twice(world: World, recordings: Recordings) -> list[tuple[str, str]]:
    return [("recorded twice", said) for said in [*recordings.twice, *world.listener.contradictions]]


def _badly_dead_lettered(world: World, dead_letters: int) -> list[tuple[str, str]]:
    """Every poison message is there, and no other; a broker that lost everything has lost those too."""
    if dead_letters == world.poisoned or (world.emptied and dead_letters < world.poisoned):
        return []
    return [("dead letters", f"{dead_letters}, where {world.poisoned} messages were poison")]


async def _dead_letters(world: World) -> int:
    listed = await asyncio.to_thread(world.rabbitmq.control, "list_queues", "name", "messages")
    return int(dict(line.split("\t") for line in listed.splitlines())[DEAD_LETTER.name])


async def _status(world: World, task_id: str) -> api.TaskStatus | None:
    try:
        return await world.client.status(task_id)
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return None
        raise
