"""Messages that should not be: undecodable, of a future version, of an unknown kind; results that lie or come late."""

import random
from datetime import UTC, datetime

import aio_pika
import msgspec

from taskandgo.broker.topology import (
    DISPATCHER_CHUNK_FINISHED,
    DISPATCHER_CHUNK_STARTED,
    DISPATCHER_TASK_CANCELLED,
    DISPATCHER_TASK_SUBMITTED,
    EXCHANGE,
    runner_chunk_ready,
)
from taskandgo.messages import ChunkFinished, TaskFinished, encode
from taskandgo.task import AttemptResult
from taskandgo.words import Outcome, TaskState
from tests.chaos.faults.fault import fault
from tests.chaos.world import World

QUEUES = (
    DISPATCHER_TASK_SUBMITTED,
    DISPATCHER_CHUNK_STARTED,
    DISPATCHER_CHUNK_FINISHED,
    DISPATCHER_TASK_CANCELLED,
    runner_chunk_ready("default"),
)
BODIES = (
    b"",
    b"\xc1 not msgpack",
    msgspec.msgpack.encode({"type": "TaskPostponed", "task_id": "of a future version"}),
    msgspec.msgpack.encode({"type": "TaskCancelled", "task_id": ["of", "a", "future", "version"]}),
    msgspec.msgpack.encode(["neither", 1]),
)
FALSE = AttemptResult(outcome=Outcome.SUCCEEDED, exit_code=0, stdout=b"FALSE\n")


@fault
async def poison_messages(world: World, dice: random.Random) -> None:
    """Every body that is no message, into every queue of services."""
    async with await aio_pika.connect(world.rabbitmq.url) as connection:
        channel = await connection.channel()
        for queue in QUEUES:
            for body in dice.sample(BODIES, 3):
                message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, queue.name)
                world.poisoned += 1


@fault
async def false_results(world: World, dice: random.Random) -> None:
    """Ends of attempts that are over come late, twice, out of order, and say something else."""
    final = {m.task_id for m in world.listener.heard if isinstance(m, TaskFinished) and m.state is TaskState.SUCCEEDED}
    old = [m for m in world.listener.heard if isinstance(m, ChunkFinished) and m.task_id in final]
    true = dice.sample(old, min(20, len(old)))
    false = [msgspec.structs.replace(message, result=FALSE) for message in true] + await _given_up(world)
    letters = [*true, *false] * 2
    dice.shuffle(letters)
    async with await aio_pika.connect(world.rabbitmq.url) as connection:
        exchange = await (await connection.channel()).get_exchange(EXCHANGE, ensure=False)
        for letter in letters:
            await exchange.publish(aio_pika.Message(encode(letter)), "chunk.finished")


async def _given_up(world: World) -> list[ChunkFinished]:
    rows = await world.sql("SELECT task_id, chunk_index, attempt FROM chunk WHERE attempt > 1 AND duplicate = 0")
    now = datetime.now(UTC)
    return [
        ChunkFinished(
            task_id=row["task_id"],
            chunk_index=row["chunk_index"],
            attempt=row["attempt"] - 1,
            runner="a ghost",
            started_at=now,
            finished_at=now,
            result=FALSE,
        )
        for row in rows
    ]
