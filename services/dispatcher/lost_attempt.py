"""The end of an attempt that nobody will report, as its runner would have reported it."""

from datetime import datetime

from services.dispatcher.claims import Key
from taskandgo.messages import ChunkFinished
from taskandgo.task import AttemptResult
from taskandgo.words import Outcome


def lost_attempt(key: Key, at: datetime, reason: str, *, alive: bool = False) -> ChunkFinished:
    """The end `lost` of a task's, a chunk's attempt; `alive` when no runner died over it."""
    return ChunkFinished(
        task_id=key[0],
        chunk_index=key[1],
        attempt=key[2],
        runner="",
        started_at=None,
        finished_at=at,
        result=AttemptResult(outcome=Outcome.LOST, reason=reason),
        alive=alive,
    )
