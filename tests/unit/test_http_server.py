"""The HTTP server lasts as long as its context, and tells what machines ask every service."""

import asyncio
import signal

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from taskandgo.errors import SettingsError
from taskandgo.rpc.http_server import serve_http
from taskandgo.rpc.ops_routes import ops_routes


def app_that_is(parts: dict[str, bool]) -> Starlette:
    """An app with the ops routes alone."""

    async def ready() -> dict[str, bool]:
        return parts

    registry = CollectorRegistry()
    Counter("taskandgo_probes", "Probes.", registry=registry).inc()
    return Starlette(routes=ops_routes("a service", ready, registry))


async def get(address: str, path: str) -> httpx.Response:
    """One request on a connection of its own."""
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://{address}{path}")


async def test_port_0_takes_a_free_one_and_tells_which() -> None:
    async with serve_http(app_that_is({}), "127.0.0.1:0") as address:
        assert not address.endswith(":0")
        assert (await get(address, "/livez")).status_code == 200


async def test_ready_when_every_part_is() -> None:
    async with serve_http(app_that_is({"broker": True, "store": True}), "127.0.0.1:0") as address:
        answer = await get(address, "/readyz")
    assert (answer.status_code, answer.json()) == (200, {"broker": True, "store": True})


async def test_not_ready_while_a_part_is_away_and_says_which() -> None:
    async with serve_http(app_that_is({"broker": False, "store": True}), "127.0.0.1:0") as address:
        answer = await get(address, "/readyz")
    assert (answer.status_code, answer.json()) == (503, {"broker": False, "store": True})


async def test_metrics_are_text_for_prometheus() -> None:
    async with serve_http(app_that_is({}), "127.0.0.1:0") as address:
        answer = await get(address, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "taskandgo_probes_total 1.0" in answer.text


async def test_nobody_listens_after_the_context() -> None:
    async with serve_http(app_that_is({}), "127.0.0.1:0") as address:
        pass
    with pytest.raises(httpx.ConnectError):
        await get(address, "/livez")


async def test_a_request_under_way_is_answered_before_the_server_ends() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> PlainTextResponse:
        begun.set()
        await may_end.wait()
        return PlainTextResponse("done")

    async with serve_http(Starlette(routes=[Route("/", slow)]), "127.0.0.1:0") as address:
        asking = asyncio.create_task(get(address, "/"))
        await begun.wait()
        asyncio.get_running_loop().call_soon(may_end.set)
    assert (await asking).text == "done"


async def test_a_port_that_is_taken_is_refused_with_its_name() -> None:
    async with serve_http(app_that_is({}), "127.0.0.1:0") as address:
        with pytest.raises(SettingsError, match=f"cannot listen on {address}"):
            async with serve_http(app_that_is({}), address):
                pass


async def test_signals_stay_with_the_service() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with serve_http(app_that_is({}), "127.0.0.1:0"):
        assert signal.getsignal(signal.SIGTERM) == before
