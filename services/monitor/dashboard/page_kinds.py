"""Every kind of page: its path, its template, and how a request becomes one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.monitor.dashboard.chunks_page import KINDS, chunks_page
from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.live_pages import LivePage
from services.monitor.dashboard.overview_page import overview_page
from services.monitor.dashboard.parts_page import PartsPage
from services.monitor.dashboard.rendering import Rendering
from services.monitor.dashboard.runners_page import runners_page
from services.monitor.dashboard.task_page import TaskPage, code_of
from services.monitor.dashboard.tasks_page import asked, tasks_page
from taskandgo.explain_task import ExplainTask
from taskandgo.store.records import TaskRecord
from taskandgo.words import Priority, Strategy, TaskState

HIGHEST_INDEX = 2**31 - 2


class Page(LivePage, Protocol):
    """A page that can also be read as a value."""

    def read(self) -> Awaitable[msgspec.Struct]:
        """What it shows now."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that was asked for, and what only its first showing has."""

    page: Page
    first: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of page; `path` is "" for the first one."""

    path: str
    template: str
    open: Callable[[Request], Awaitable[Opened]]


@dataclass(frozen=True, slots=True)
class PageKinds:
    """Opens pages."""

    events: LiveEvents
    rendering: Rendering
    explain: ExplainTask

    def all(self) -> list[Kind]:
        """Every kind."""
        return [
            Kind("", "overview", self._overview),
            Kind("/tasks", "tasks", self._tasks),
            Kind("/tasks/{task_id}", "task", self._task),
            Kind("/tasks/{task_id}/chunks", "chunks", self._chunks),
            Kind("/runners", "runners", self._runners),
        ]

    async def _overview(self, _request: Request) -> Opened:
        return Opened(overview_page(self.events, self.rendering), {})

    async def _runners(self, _request: Request) -> Opened:
        return Opened(runners_page(self.events, self.rendering), {})

    async def _tasks(self, request: Request) -> Opened:
        query = asked(request.query_params)
        first = {
            "query": query,
            "live": query.address(query.after),
            "newest": query.address(None),
            "states": list(TaskState),
            "priorities": [one.word for one in sorted(Priority, reverse=True)],
        }
        return Opened(tasks_page(self.events, self.rendering, query), first)

    async def _task(self, request: Request) -> Opened:
        row = await self._row(request)
        spec = await self.events.store.load_spec(row.task_id)
        if spec is None:
            raise _unknown(row.task_id)
        page = TaskPage(self.events, self.rendering, self.explain, row)
        code, code_cut = code_of(spec)
        # It may be cut into chunks only after this.
        split = spec.strategy is Strategy.SPLIT
        chunks = await self._chunks_of(row.task_id, "", -1).read() if split else None
        return Opened(page, {"spec": spec, "code": code, "code_cut": code_cut, "chunks": chunks, "kinds": [*KINDS]})

    async def _chunks(self, request: Request) -> Opened:
        row = await self._row(request)
        kind, after = request.query_params.get("kind", ""), request.query_params.get("after", "")
        page = self._chunks_of(
            row.task_id,
            kind if kind in KINDS else "",
            min(int(after), HIGHEST_INDEX) if after.isascii() and after.isdigit() else -1,
        )
        return Opened(page, {"kinds": [*KINDS]})

    def _chunks_of(self, task_id: str, kind: str, after: int) -> PartsPage:
        return chunks_page(self.events, self.rendering, task_id, kind, after)

    async def _row(self, request: Request) -> TaskRecord:
        task_id = request.path_params["task_id"]
        row = None if "\x00" in task_id else await self.events.store.task_row(task_id)
        if row is None:
            raise _unknown(task_id)
        return row


def _unknown(task_id: str) -> HTTPException:
    return HTTPException(404, f"There is no task {task_id!r}.")
