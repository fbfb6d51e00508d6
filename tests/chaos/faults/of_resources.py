"""Faults of a runner's machine: its temp directory is full, its memory is used up, code that kills it every time."""

import asyncio
import random
import resource
from pathlib import Path

from taskandgo.api import scheduler_pb2 as api
from tests.chaos.faults.fault import fault
from tests.chaos.mixed_tasks import FAILED, MixedTask
from tests.chaos.world import World

#: Runners of the fleet are told to die after having run a task of such a name.
KILLER = "killer"
BLOCK = 1024 * 1024


@fault
async def runner_disk_full(world: World, dice: random.Random) -> None:
    """Not a byte is left in the temp directory of one runner; without a small one of its own it is left alone."""
    folder = Path(dice.choice(world.fleet.of("runner")).env["TMPDIR"])
    if not folder.is_mount():
        return
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * BLOCK)
    except OSError:
        pass
    await asyncio.sleep(dice.uniform(2, 6))
    filler.unlink()


@fault
async def runner_out_of_memory(world: World, dice: random.Random) -> None:
    """One runner gets no more memory for a while than it has."""
    process = dice.choice(world.fleet.of("runner")).process
    if process is None or process.returncode is not None:
        return
    try:
        size = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(process.pid, resource.RLIMIT_AS, (size + BLOCK, resource.RLIM_INFINITY))
        await asyncio.sleep(dice.uniform(2, 6))
        resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ProcessLookupError, FileNotFoundError):
        pass  # it died of it


@fault
async def killer_chunk(world: World, _dice: random.Random) -> None:
    """A task whose code takes its runner with it, on whichever it runs."""
    task = api.Task(task_id=f"{KILLER}-{len(world.client.submitted)}", data="python:print('never told')")
    mixed = MixedTask("kills its runner", task, FAILED, None)
    world.client.submitted[task.task_id] = mixed
    await world.client.submit(mixed)
