"""Faults of RabbitMQ: restarted, killed, out of memory or disk, its connections closed, everything lost."""

import asyncio
import random

from tests.chaos.faults.fault import fault
from tests.chaos.world import World

#: So many tasks at once that most of them still wait a moment later.
BURST = 60


async def _control(world: World, *arguments: str) -> str:
    return await asyncio.to_thread(world.rabbitmq.control, *arguments)


@fault
async def broker_restart(world: World, dice: random.Random) -> None:
    """Stopped as an administrator does, and started again."""
    await asyncio.to_thread(world.rabbitmq.stop)
    await asyncio.sleep(dice.uniform(0, 3))
    await asyncio.to_thread(world.rabbitmq.start)


@fault
async def broker_killed(world: World, dice: random.Random) -> None:
    """A power cut of the broker's machine."""
    await asyncio.to_thread(world.rabbitmq.kill)
    await asyncio.sleep(dice.uniform(0, 3))
    await asyncio.to_thread(world.rabbitmq.start)


@fault
async def broker_emptied(world: World, dice: random.Random) -> None:
    """The broker comes back with nothing: no queue, no message."""
    world.burst(BURST, dice)
    await asyncio.sleep(dice.uniform(0, 4))
    world.emptied = True
    await asyncio.to_thread(world.rabbitmq.kill)
    world.rabbitmq.forget_everything()
    await asyncio.to_thread(world.rabbitmq.start)


@fault
async def broker_connections_closed(world: World, _dice: random.Random) -> None:
    """All of them at once."""
    await _control(world, "close_all_connections", "chaos")


@fault
async def broker_connection_cut(world: World, dice: random.Random) -> None:
    """One of them."""
    _header, *connections = (await _control(world, "list_connections", "pid")).split()
    await _control(world, "close_connection", dice.choice(connections), "chaos")


@fault
async def broker_memory_alarm(world: World, dice: random.Random) -> None:
    """Publishers are blocked."""
    await _control(world, "set_vm_memory_high_watermark", "0.000001")
    await asyncio.sleep(dice.uniform(4, 10))
    await _control(world, "set_vm_memory_high_watermark", "0.4")


@fault
async def broker_disk_alarm(world: World, dice: random.Random) -> None:
    """Publishers are blocked."""
    await _control(world, "set_disk_free_limit", "900000GB")
    await asyncio.sleep(dice.uniform(4, 10))
    await _control(world, "set_disk_free_limit", "10MB")
