"""How the chunks of a task are doing, counted by neighbourhoods: a hundred thousand of them fit on a page."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskandgo.store.tables import chunk
from taskandgo.task import Value
from taskandgo.words import ChunkState, Outcome


class ChunkCount(Value, frozen=True):
    """How many chunks of one neighbourhood are in a state, by outcome once they have finished."""

    cell: int
    state: ChunkState
    outcome: Outcome | None
    count: int


async def count_chunks(connection: AsyncConnection, task_id: str, chunk_count: int, together: int) -> list[ChunkCount]:
    """The chunks that were emitted, `together` neighbours at a time, by state and outcome; the reduce left out."""
    cell = (chunk.c.chunk_index // together).label("cell")
    columns = (cell, chunk.c.state, chunk.c.outcome, func.count().label("count"))
    of_task = (chunk.c.task_id == task_id, chunk.c.chunk_index < chunk_count)
    statement = select(*columns).where(*of_task).group_by(cell, chunk.c.state, chunk.c.outcome)
    return [
        ChunkCount(
            cell=int(number),
            state=ChunkState(state),
            outcome=Outcome(outcome) if outcome and state == ChunkState.FINISHED.value else None,
            count=count,
        )
        for number, state, outcome, count in await connection.execute(statement)
    ]
