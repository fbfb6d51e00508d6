"""The dashboard's addresses: pages, what keeps them current, the same as JSON, and the buttons."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from services.monitor.dashboard.act_on_task import ActOnTask, Answer
from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.live_pages import LivePages, TooManyError
from services.monitor.dashboard.page_kinds import Kind, PageKinds
from services.monitor.dashboard.rendering import Rendering
from taskandgo.words import Stream

Endpoint = Callable[[Request], Awaitable[Response]]
Act = Callable[[str], Awaitable[Answer]]

BUSY = {"retry-after": "10"}


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Answers at every address of the dashboard."""

    events: LiveEvents
    rendering: Rendering
    pages: LivePages
    kinds: PageKinds
    act: ActOnTask | None

    def routes(self) -> list[Route]:
        """Its routes; those of the buttons only where there is an ingest to call."""
        found = []
        for kind in self.kinds.all():
            found += [
                Route(kind.path or "/", self._show(kind)),
                Route(f"/live{kind.path or '/overview'}", self._keep_current(kind)),
                Route(f"/api{kind.path or '/overview'}", self._tell(kind)),
            ]
        found.append(Route("/tasks/{task_id}/output/{stream}", self._output))
        if self.act:
            for name, act in (("cancel", self.act.cancel), ("retry", self.act.retry)):
                found.append(Route(f"/tasks/{{task_id}}/{name}", self._button(act), methods=["POST"]))
        return found

    def refused(self, request: Request, error: Exception) -> Response:
        """An HTTPException or a StoreAwayError as a page, or as JSON where JSON was asked for."""
        status, text = 503, "The store is away; try again when it is back."
        if isinstance(error, HTTPException):
            status, text = error.status_code, error.detail
        if request.url.path.startswith("/api/"):
            return _json({"error": text}, status)
        return HTMLResponse(self.rendering.page("refusal", status=status, text=text), status)

    def _show(self, kind: Kind) -> Endpoint:
        async def show(request: Request) -> Response:
            opened = await kind.open(request)
            shown = await opened.page.read()
            return HTMLResponse(self.rendering.page(kind.template, shown=shown, **opened.first))

        return show

    def _tell(self, kind: Kind) -> Endpoint:
        async def tell(request: Request) -> Response:
            return _json(await (await kind.open(request)).page.read())

        return tell

    def _keep_current(self, kind: Kind) -> Endpoint:
        async def keep_current(request: Request) -> Response:
            opened = await kind.open(request)
            sent = self.pages.follow(f"{request.url.path}?{request.url.query}", opened.page)
            try:
                first = await anext(sent)
            except (TooManyError, StopAsyncIteration) as error:
                raise HTTPException(503, "Too many people look at this monitor.", BUSY) from error
            return StreamingResponse(
                _chained(first, sent), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
            )

        return keep_current

    async def _output(self, request: Request) -> Response:
        """All that is kept of a stream of a finished task, as it was written."""
        task_id, stream = request.path_params["task_id"], request.path_params["stream"]
        if stream not in {known.value for known in Stream} or await self.events.store.summary(task_id) is None:
            raise HTTPException(404, "There is no such output of a finished task.")
        return StreamingResponse(
            self.events.store.outputs.of_task(task_id, Stream(stream)),
            media_type="text/plain; charset=utf-8",
            headers={"content-security-policy": "default-src 'none'; sandbox"},
        )

    def _button(self, act: Act) -> Endpoint:
        async def press(request: Request) -> Response:
            answer = await act(request.path_params["task_id"])
            if "hx-request" in request.headers:
                return HTMLResponse(self.rendering.page("answer", answer=answer))
            if answer.refused:
                raise HTTPException(409, answer.message)
            return RedirectResponse(request.url.path.rpartition("/")[0], 303)

        return press


async def _chained(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for more in rest:
            yield more


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value) + b"\n", status, media_type="application/json")
