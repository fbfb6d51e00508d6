"""Wires the dashboard: the broker's events and the store in, an app with all its addresses out."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from services.monitor.dashboard.act_on_task import ActOnTask
from services.monitor.dashboard.guard import Guard
from services.monitor.dashboard.live_events import LiveEvents
from services.monitor.dashboard.live_pages import LivePages
from services.monitor.dashboard.page_kinds import PageKinds
from services.monitor.dashboard.rendering import Rendering
from services.monitor.dashboard.routes import Dashboard
from services.monitor.dashboard.templates import make_templates
from services.monitor.settings import MonitorSettings
from taskandgo.broker.broker import Broker
from taskandgo.clock import Clock
from taskandgo.errors import StoreAwayError
from taskandgo.explain_task import ExplainTask
from taskandgo.heard_runners import HeardRunners
from taskandgo.rpc.client import connect
from taskandgo.store.store import Store
from taskandgo.watchers import Watchers

STATIC = Path(__file__).parents[1] / "static"


@dataclass(frozen=True, slots=True)
class Running:
    """The dashboard as an app, and what lets everybody who looks go: before its server can stop."""

    app: ASGIApp
    let_go: Callable[[], Awaitable[None]]


@asynccontextmanager
async def dashboard(settings: MonitorSettings, broker: Broker, store: Store, clock: Clock) -> AsyncIterator[Running]:
    """A running dashboard."""
    runners = HeardRunners(clock)
    events = LiveEvents(broker, store, clock, runners, Watchers())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(events.heard())
        act = None
        if settings.monitor_ingest_grpc:
            act = ActOnTask(await stack.enter_async_context(connect(settings.monitor_ingest_grpc)))
        rendering, pages = Rendering(make_templates(), may_act=act is not None), LivePages()
        stack.push_async_callback(pages.close)
        kinds = PageKinds(events, rendering, ExplainTask(store, broker, runners, clock))
        app = _app(Dashboard(events, rendering, pages, kinds, act), settings.hosts())
        yield Running(app, pages.close)


def _app(shown: Dashboard, hosts: frozenset[str]) -> ASGIApp:
    async def refused(request: Request, error: Exception) -> Response:
        return shown.refused(request, error)

    routes: Sequence[BaseRoute] = [*shown.routes(), Mount("/static", StaticFiles(directory=STATIC))]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={HTTPException: refused, StoreAwayError: refused},
    )
