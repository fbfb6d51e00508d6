"""A process dies at each named step between two effects; the task it was at ends as it should, once.

All deaths come first and the looking after: some are only mended when a claim has run out, and those waits are shared.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import pytest

from taskandgo.crash_points import CrashPoint
from tests.chaos.audit import read_audit
from tests.chaos.client import Client
from tests.chaos.fleet import Member
from tests.chaos.mixed_tasks import MixedTask, cancelled, retried_by_client, retried_by_itself, short_python
from tests.chaos.verdict import breaches_of
from tests.chaos.world import World, make_world

ONE_OF_EACH = {"ingest": 1, "dispatcher": 1, "runner": 1}
DEATH_SECONDS = 40.0
MEND_SECONDS = 100.0
#: The task that takes a process through a point; dispatchers come by all of theirs with one that is retried.
TASKS: dict[CrashPoint, tuple[str, Callable[[int, random.Random], MixedTask]]] = {
    CrashPoint.TASK_ACCEPTED: ("ingest", short_python),
    CrashPoint.OUTBOX_PUBLISHED: ("ingest", short_python),
    CrashPoint.TASK_CANCEL_RECORDED: ("ingest", cancelled),
    CrashPoint.TASK_RETRY_RECORDED: ("ingest", retried_by_client),
    CrashPoint.TIMER_CLAIMED: ("dispatcher", retried_by_itself),
    CrashPoint.TIMER_FIRED: ("dispatcher", retried_by_itself),
    CrashPoint.TASK_OPENED: ("dispatcher", retried_by_itself),
    CrashPoint.CHUNKS_EMITTED: ("dispatcher", retried_by_itself),
    CrashPoint.START_RECORDED: ("dispatcher", retried_by_itself),
    CrashPoint.ENDING_RECORDED: ("dispatcher", retried_by_itself),
    CrashPoint.ENDING_EMITTED: ("dispatcher", retried_by_itself),
    CrashPoint.TASK_FINISHED_PUBLISHED: ("dispatcher", retried_by_itself),
    CrashPoint.CHUNK_TAKEN: ("runner", short_python),
    CrashPoint.CHUNK_STARTED_PUBLISHED: ("runner", short_python),
    CrashPoint.CHUNK_EXECUTED: ("runner", short_python),
    CrashPoint.CHUNK_FINISHED_PUBLISHED: ("runner", short_python),
}


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of everything: where processes died, and which promises were broken."""

    died: set[CrashPoint]
    breaches: Sequence[str]


@pytest.fixture(scope="module")
async def mended() -> AsyncIterator[Mended]:
    """A world in which a process has died at each point."""
    async with make_world(ONE_OF_EACH) as world:
        died: set[CrashPoint] = set()
        await asyncio.gather(*(_die_at_each(world, service, died) for service in ONE_OF_EACH))
        await _wait_until_mended(world)
        recordings = await read_audit(world.postgres.url, world.client.retried)
        yield Mended(died, [*(await _broken(world.client)), *recordings.twice, *world.listener.contradictions])


@pytest.mark.timeout(400)
@pytest.mark.parametrize("point", CrashPoint)
def test_a_task_survives_a_death_at(mended: Mended, point: CrashPoint) -> None:
    assert point in mended.died
    assert [said for said in mended.breaches if point in said] == []


async def _die_at_each(world: World, service: str, died: set[CrashPoint]) -> None:
    member = world.fleet.members[f"{service}-1"]
    for number, point in enumerate(CrashPoint):
        where, make = TASKS[point]
        if where == service:
            await _die_at(world.client, member, point, make(number, random.Random(number)))
            died.add(point)


async def _die_at(client: Client, member: Member, point: CrashPoint, mixed: MixedTask) -> None:
    mixed.task.task_id = f"dies-at-{point}"
    before = member.exits[-9]
    await member.restart(CRASH_AT=f"{point}:{mixed.task.task_id}")
    client.follow(mixed)
    async with asyncio.timeout(DEATH_SECONDS):
        while member.exits[-9] == before:
            await asyncio.sleep(0.05)


async def _wait_until_mended(world: World) -> None:
    try:
        async with asyncio.timeout(MEND_SECONDS):
            await world.client.settle()
            while await world.open_tasks():
                await asyncio.sleep(0.2)
    except TimeoutError:
        pass  # each test says what is not mended


async def _broken(client: Client) -> list[str]:
    statuses = {task_id: await client.status(task_id) for task_id in client.accepted}
    return [f"{kind}: {said}" for kind, said in breaches_of(client, statuses)]
