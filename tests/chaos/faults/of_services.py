"""Faults of processes: killed, frozen, restarted in a row, run with a clock that is off."""

import asyncio
import random
import signal

from taskandgo.crash_points import CrashPoint
from tests.chaos.faults.fault import fault
from tests.chaos.fleet import SERVICES
from tests.chaos.world import World

LONGEST_FREEZE_SECONDS = 14.0


async def _kill(world: World, dice: random.Random, service: str) -> None:
    dice.choice(world.fleet.of(service)).send(signal.SIGKILL)
    await asyncio.sleep(3)


async def _freeze(world: World, dice: random.Random, service: str) -> None:
    member = dice.choice(world.fleet.of(service))
    member.send(signal.SIGSTOP)
    # Sometimes for less than the broker's patience, sometimes for more.
    await asyncio.sleep(dice.uniform(1, LONGEST_FREEZE_SECONDS))
    member.send(signal.SIGCONT)


@fault
async def kill_ingest(world: World, dice: random.Random) -> None:
    """SIGKILL one."""
    await _kill(world, dice, "ingest")


@fault
async def kill_dispatcher(world: World, dice: random.Random) -> None:
    """SIGKILL one."""
    await _kill(world, dice, "dispatcher")


@fault
async def kill_runner(world: World, dice: random.Random) -> None:
    """SIGKILL one."""
    await _kill(world, dice, "runner")


@fault
async def kill_monitor(world: World, dice: random.Random) -> None:
    """SIGKILL it."""
    await _kill(world, dice, "monitor")


@fault
async def kill_everything(world: World, _dice: random.Random) -> None:
    """A power cut for all services, not the servers."""
    for member in world.fleet.members.values():
        member.send(signal.SIGKILL)
    await asyncio.sleep(4)


@fault
async def freeze_ingest(world: World, dice: random.Random) -> None:
    """SIGSTOP one for a while."""
    await _freeze(world, dice, "ingest")


@fault
async def freeze_dispatcher(world: World, dice: random.Random) -> None:
    """SIGSTOP one for a while."""
    await _freeze(world, dice, "dispatcher")


@fault
async def freeze_runner(world: World, dice: random.Random) -> None:
    """SIGSTOP one for a while."""
    await _freeze(world, dice, "runner")


@fault
async def freeze_monitor(world: World, dice: random.Random) -> None:
    """SIGSTOP it for a while."""
    await _freeze(world, dice, "monitor")


@fault
async def rolling_restart(world: World, dice: random.Random) -> None:
    """Every process of one service, one after the other."""
    for member in world.fleet.of(dice.choice(SERVICES)):
        await member.restart()
        await asyncio.sleep(3)


@fault
async def crash_between_effects(world: World, dice: random.Random) -> None:
    """One process dies at a named step, whenever it comes by."""
    member = dice.choice(world.fleet.of("ingest", "dispatcher", "runner"))
    await member.restart(CRASH_AT=",".join((dice.choice([*CrashPoint]), member.env["CRASH_AT"])))
    await asyncio.sleep(5)


@fault
async def clock_jump(world: World, dice: random.Random) -> None:
    """One process's clock is off for a while, by up to an hour either way."""
    member = dice.choice([*world.fleet.members.values()])
    member.clock_offset.write_text(str(dice.uniform(-3600, 3600)))
    await asyncio.sleep(6)
    member.clock_offset.write_text("0")
