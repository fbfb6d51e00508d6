"""Tasks, the newest first, as far as they are wanted: by state, priority, id, part of an id, or label."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from services.monitor.dashboard.frames import Frame
from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.rendering import Rendering
from services.monitor.dashboard.task_rows import TaskRow, task_row
from taskandgo.errors import StoreAwayError
from taskandgo.store.search import TaskSearch
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


@dataclass(frozen=True, slots=True)
class TasksPage:
    """The list of tasks."""

    events: LiveEvents
    rendering: Rendering
    query: Query

    def following(self) -> AbstractAsyncContextManager[object]:
        """Events tell when to look again."""
        return self.events.looking()

    def stamp(self) -> object:
        """Whatever happened may be in the list."""
        return self.events.count

    def logged_since(self, place: int) -> tuple[int, Frame | None]:
        """Nothing is appended here."""
        return place, None

    async def frames(self) -> Sequence[Frame]:
        """Its parts."""
        return self.rendering.parts(PARTS, await self.read())

    async def read(self) -> Tasks:
        """What there is now."""
        query = self.query
        wanted = TaskSearch(
            states=[TaskState(query.state)] if query.state else [],
            priority=Priority[query.priority.upper()] if query.priority else None,
            text=query.text,
            page_size=PAGE,
            after=query.after,
        )
        try:
            found = await self.events.store.search_tasks(wanted)
        except StoreAwayError:
            return Tasks(tasks=None)
        rows = [task_row(record) for record in found.tasks]
        return Tasks(tasks=rows, older=query.address(found.next) if found.next else "", searched=found.searched)
