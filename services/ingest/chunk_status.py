"""A chunk as the store knows it, told in the API's words: pure."""

from services.ingest.task_status import OUTCOMES, timestamp, usage_message
from taskandgo.api import scheduler_pb2 as api
from taskandgo.store.records import ChunkRecord
from taskandgo.words import ChunkState

CHUNK_STATES = {state: api.ChunkState.Value(f"CHUNK_STATE_{state.name}") for state in ChunkState}
CHUNK_STATE_WORDS = {number: state for state, number in CHUNK_STATES.items()}
OUTCOME_WORDS = {number: outcome for outcome, number in OUTCOMES.items()}


def chunk_status(record: ChunkRecord) -> api.ChunkStatus:
    """The chunk with, when it has ended, how."""
    status = api.ChunkStatus(
        chunk_index=record.chunk_index,
        state=CHUNK_STATES[record.state],
        attempt=record.attempt,
        runner=record.runner,
        started_at=timestamp(record.started_at),
        finished_at=timestamp(record.finished_at),
        due_at=timestamp(record.due_at),
        reduce=record.reduce,
    )
    if result := record.result:
        ended = api.ChunkStatus(
            outcome=OUTCOMES[result.outcome],
            exit_code=result.exit_code,
            reason=result.reason,
            usage=usage_message(result.usage),
        )
        status.MergeFrom(ended)
    return status
