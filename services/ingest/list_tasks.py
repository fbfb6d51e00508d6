"""Runs because a client lists tasks: the newest first, a page at a time."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from services.ingest.task_rules import PRIORITIES
from services.ingest.task_status import STATE_WORDS, task_status
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import Violation, invalid
from taskandgo.store.records import TaskFilter, TaskRecord
from taskandgo.store.store import Store

DEFAULT_PAGE, MAX_PAGE = 100, 1000

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
        token = _token(records[-1]) if len(records) == wanted.page_size else ""
        return api.ListTasksResponse(tasks=[task_status(record) for record in records], next_page_token=token)


def _filter(request: api.ListTasksRequest) -> TaskFilter:
    if request.priority and request.priority not in PRIORITIES:
        raise invalid(Violation("priority", f"is {request.priority!r}; allowed are {', '.join(PRIORITIES)}"))
    if unknown := [state for state in request.states if state not in ANY_STATE]:
        raise invalid(Violation("states", f"has {unknown[0]}; allowed are {', '.join(api.TaskState.keys())}"))
    if not 0 <= request.page_size <= MAX_PAGE:
        raise invalid(
            Violation("page_size", f"is {request.page_size}; allowed are 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}")
        )
    return TaskFilter(
        states=[STATE_WORDS[state] for state in request.states if state != api.TASK_STATE_UNSPECIFIED],
        priority=PRIORITIES.get(request.priority),
        labels=dict(request.labels),
        queued_after=_instant(request.queued_after) if request.HasField("queued_after") else None,
        queued_before=_instant(request.queued_before) if request.HasField("queued_before") else None,
        page_size=request.page_size or DEFAULT_PAGE,
        after=_place(request.page_token) if request.page_token else None,
    )


def _instant(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _token(last: TaskRecord) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((last.queued_at, last.task_id))).decode()


def _place(token: str) -> Place:
    try:
        place: Place = msgspec.json.decode(base64.urlsafe_b64decode(token), type=Place)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise invalid(Violation("page_token", "is no token of an earlier page")) from error
    return place
