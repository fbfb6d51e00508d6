"""Faults of PostgreSQL: restarted, killed, read-only, slow, its connections ended, deadlocks with a stranger."""

import asyncio
import random

import asyncpg

from tests.chaos.faults.fault import fault
from tests.chaos.world import World

OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"


async def _with_setting(world: World, name: str, value: str, seconds: float) -> None:
    await world.sql(f"ALTER SYSTEM SET {name} = {value}")
    await world.sql("SELECT pg_reload_conf()")
    await asyncio.sleep(seconds)
    # Said for this session, which may be one that can only read.
    connection = await asyncpg.connect(world.postgres.url)
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(f"ALTER SYSTEM RESET {name}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@fault
async def store_restart(world: World, dice: random.Random) -> None:
    """Stopped as an administrator does, and started again."""
    await asyncio.to_thread(world.postgres.stop)
    await asyncio.sleep(dice.uniform(0, 5))
    await asyncio.to_thread(world.postgres.start)


@fault
async def store_killed(world: World, dice: random.Random) -> None:
    """A power cut of the store's machine."""
    await asyncio.to_thread(world.postgres.kill)
    await asyncio.sleep(dice.uniform(0, 5))
    await asyncio.to_thread(world.postgres.start)


@fault
async def store_connections_ended(world: World, _dice: random.Random) -> None:
    """All of them at once."""
    await world.sql(OTHERS)


@fault
async def store_read_only(world: World, dice: random.Random) -> None:
    """As after a fail-over, while the old server still answers."""
    await _with_setting(world, "default_transaction_read_only", "on", dice.uniform(3, 8))


@fault
async def store_slow_commits(world: World, dice: random.Random) -> None:
    """Each commit takes a tenth of a second more."""
    await world.sql("ALTER SYSTEM SET commit_siblings = 0")
    await _with_setting(world, "commit_delay", "100000", dice.uniform(4, 10))


@fault
async def store_deadlocks(world: World, dice: random.Random) -> None:
    """A stranger locks the rows of open tasks and their chunks, in the order nobody else does."""
    connection = await asyncpg.connect(world.postgres.url)
    end = asyncio.get_running_loop().time() + 6
    while asyncio.get_running_loop().time() < end:
        try:
            async with connection.transaction():
                open_ones = await connection.fetch(
                    "SELECT task_id FROM task WHERE state IN ('queued', 'running') ORDER BY task_id DESC LIMIT 30"
                )
                for row in open_ones:
                    await connection.execute("SELECT 1 FROM chunk WHERE task_id = $1 FOR UPDATE", row["task_id"])
                    await connection.execute("SELECT 1 FROM task WHERE task_id = $1 FOR UPDATE", row["task_id"])
                    await asyncio.sleep(dice.uniform(0, 0.05))
        except asyncpg.DeadlockDetectedError:
            pass
    await connection.close()
