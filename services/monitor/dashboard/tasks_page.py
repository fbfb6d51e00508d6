"""Tasks, the newest first, as far as they are wanted: by state, priority, id, part of an id, or label."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.parts_page import PartsPage
from services.monitor.dashboard.rendering import Rendering
from services.monitor.dashboard.task_rows import TaskRow, task_row
from taskandgo.errors import StoreAwayError
from taskandgo.store.search import TaskSearch
from taskandgo.store.store import Store
from taskandgo.task import Value
from taskandgo.words import Priority, TaskState

PARTS = ("found",)
PAGE = 50
LONGEST_TEXT = 300


class Tasks(Value, frozen=True, omit_defaults=False):
    """What the list shows: the tasks, None while the store is away; `older` is the query of the next page, "" at the
    end; `searched` as in FoundTasks.
    """

    tasks: Sequence[TaskRow] | None
    older: str = ""
    searched: bool = False


class Query(Value, frozen=True, omit_defaults=False):
    """What is asked for, in the words of the address; what is no word of ours is left out."""

    state: str = ""
    priority: str = ""
    text: str = ""
    after: tuple[datetime, str] | None = None

    def address(self, after: tuple[datetime, str] | None) -> str:
        """The query that asks for the same from a place on."""
        words = {"state": self.state, "priority": self.priority, "q": self.text}
        place = {"after": f"{after[0].isoformat()}~{after[1]}"} if after else {}
        return urlencode({name: word for name, word in (words | place).items() if word})


def asked(query: Mapping[str, Any]) -> Query:
    """The query of an address."""
    state, priority = query.get("state", ""), query.get("priority", "")
    return Query(
        state=state if state in {known.value for known in TaskState} else "",
        priority=priority if priority in {known.word for known in Priority} else "",
        text=query.get("q", "").strip()[:LONGEST_TEXT].replace("\x00", ""),
        after=_place(query.get("after", "")),
    )


def _place(text: str) -> tuple[datetime, str] | None:
    at, _, task_id = text.partition("~")
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (instant, task_id) if instant.tzinfo and "\x00" not in task_id else None


def tasks_page(events: LiveEvents, rendering: Rendering, query: Query) -> PartsPage:
    """The list of tasks."""
    return PartsPage(events, rendering, PARTS, partial(_read, events.store, query))


async def _read(store: Store, query: Query) -> Tasks:
    wanted = TaskSearch(
        states=[TaskState(query.state)] if query.state else [],
        priority=Priority[query.priority.upper()] if query.priority else None,
        text=query.text,
        page_size=PAGE,
        after=query.after,
    )
    try:
        found = await store.search_tasks(wanted)
    except StoreAwayError:
        return Tasks(tasks=None)
    rows = [task_row(record) for record in found.tasks]
    return Tasks(tasks=rows, older=query.address(found.next) if found.next else "", searched=found.searched)
