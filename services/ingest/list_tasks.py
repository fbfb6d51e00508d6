"""Runs because a client lists tasks: the newest first, a page at a time."""

from dataclasses import dataclass
from datetime import datetime

from services.ingest.instant_rules import instant
from services.ingest.pages import page_place, page_size, page_token
from services.ingest.task_rules import PRIORITIES
from services.ingest.task_status import STATE_WORDS, task_status
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import Violation, invalid
from taskandgo.store.records import TaskFilter
from taskandgo.store.store import Store

ANY_STATE = frozenset(api.TaskState.values())

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class ListTasks:
    """The use case of ListTasks."""

    store: Store

    async def __call__(self, request: api.ListTasksRequest) -> api.ListTasksResponse:
        """One page, with the token of the next one if there may be more."""
        wanted = _filter(request)
        records = await self.store.list_tasks(wanted)
        full = len(records) == wanted.page_size
        token = page_token((records[-1].queued_at, records[-1].task_id)) if full else ""
        return api.ListTasksResponse(tasks=[task_status(record) for record in records], next_page_token=token)


def _filter(request: api.ListTasksRequest) -> TaskFilter:
    if request.priority and request.priority not in PRIORITIES:
        raise invalid(Violation("priority", f"is {request.priority!r}; allowed are {', '.join(PRIORITIES)}"))
    if unknown := [state for state in request.states if state not in ANY_STATE]:
        raise invalid(Violation("states", f"has {unknown[0]}; allowed are {', '.join(api.TaskState.keys())}"))
    return TaskFilter(
        states=[STATE_WORDS[state] for state in request.states if state != api.TASK_STATE_UNSPECIFIED],
        priority=PRIORITIES.get(request.priority),
        labels=dict(request.labels),
        queued_after=instant(request.queued_after) if request.HasField("queued_after") else None,
        queued_before=instant(request.queued_before) if request.HasField("queued_before") else None,
        page_size=page_size(request.page_size),
        after=page_place(request.page_token, Place) if request.page_token else None,
    )
