"""Runs because a client lists the chunks of a task, in their order, a page at a time."""

from dataclasses import dataclass

from services.ingest.chunk_status import CHUNK_STATE_WORDS, OUTCOME_WORDS, chunk_status
from services.ingest.get_task import unknown_task
from services.ingest.pages import page_place, page_size, page_token
from taskandgo.api import scheduler_pb2 as api
from taskandgo.store.records import ChunkFilter
from taskandgo.store.store import Store


@dataclass(frozen=True, slots=True)
class ListChunks:
    """The use case of ListChunks."""

    store: Store

    async def __call__(self, request: api.ListChunksRequest) -> api.ListChunksResponse:
        """One page, with the token of the next one if there may be more; NOT_FOUND if there is no such task."""
        wanted = _filter(request)
        records = await self.store.list_chunks(wanted)
        if records is None:
            raise unknown_task(request.task_id)
        token = page_token(records[-1].chunk_index) if len(records) == wanted.page_size else ""
        return api.ListChunksResponse(chunks=[chunk_status(record) for record in records], next_page_token=token)


def _filter(request: api.ListChunksRequest) -> ChunkFilter:
    return ChunkFilter(
        task_id=request.task_id,
        states=[CHUNK_STATE_WORDS[state] for state in request.states if state in CHUNK_STATE_WORDS],
        outcomes=[OUTCOME_WORDS[outcome] for outcome in request.outcomes if outcome in OUTCOME_WORDS],
        page_size=page_size(request.page_size),
        after=page_place(request.page_token, int) if request.page_token else -1,
    )
