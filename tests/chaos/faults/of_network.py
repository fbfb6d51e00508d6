"""Faults of the network between one process and the broker or the store: cut, refused, slow, half-open."""

import asyncio
import random

from tests.chaos.faults.fault import fault
from tests.chaos.proxy import Proxy
from tests.chaos.world import World


def _some_way(world: World, dice: random.Random) -> Proxy:
    member = dice.choice([*world.fleet.members.values()])
    return dice.choice([member.broker, member.store])


@fault
async def network_cut(world: World, dice: random.Random) -> None:
    """Connections end, and new ones are made at once."""
    for _ in range(3):
        _some_way(world, dice).cut()
        await asyncio.sleep(dice.uniform(0, 1))


@fault
async def network_refused(world: World, dice: random.Random) -> None:
    """Connections end, and new ones are refused for a while."""
    way = _some_way(world, dice)
    way.refusing = True
    way.cut()
    await asyncio.sleep(dice.uniform(1, 8))
    way.heal()


@fault
async def network_slow(world: World, dice: random.Random) -> None:
    """Everything takes up to half a second more."""
    way = _some_way(world, dice)
    way.delay_seconds = dice.uniform(0.05, 0.5)
    await asyncio.sleep(8)
    way.heal()


@fault
async def network_half_open(world: World, dice: random.Random) -> None:
    """Connections stay, and nothing comes through."""
    way = _some_way(world, dice)
    way.silent = True
    await asyncio.sleep(dice.uniform(2, 20))
    way.heal()
