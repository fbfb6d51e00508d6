"""`taskandgo top` as a person uses it: real keys in a terminal of the test's own, on a real server."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, RichLog, Static

from services.cli.terminal.app import TopApp
from services.cli.terminal.task_screen import TaskScreen
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.client import connect
from tests.e2e.command_line import CommandLine
from tests.e2e.stack import Stack, running
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

PATIENCE_SECONDS = 20.0
PRINTS = "import time\nfor n in range(1000): print('line', n, flush=True); time.sleep(0.05)"


class Top:
    """A running `top` and what it shows."""

    def __init__(self, app: TopApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def until(self, shown: Callable[[], bool], within: float = PATIENCE_SECONDS) -> None:
        """Return as soon as it shows this; a terminal is looked at, it tells nothing."""
        async with asyncio.timeout(within):
            while not shown():
                await self.pilot.pause(0.05)

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)

    def rows(self, table: str) -> dict[str, list[str]]:
        """The rows of a table by their keys."""
        found = self.app.screen_stack[0].query_one(f"#{table}", DataTable)
        return {str(key.value): [str(cell) for cell in found.get_row(key)] for key in found.rows}

    def order(self) -> list[str]:
        """The tasks in the order in which they are shown."""
        return list(self.rows("tasks"))

    def text(self, selector: str) -> str:
        """What a part of the present screen says."""
        return str(self.app.screen.query_one(selector, Static).render())

    @property
    def status(self) -> str:
        """The first line."""
        return str(self.app.screen_stack[0].query_one("#status", Static).render())


@asynccontextmanager
async def top(server: str, size: tuple[int, int] = (140, 40)) -> AsyncIterator[Top]:
    """`top` in a terminal of this size."""
    async with connect(server) as stub:
        app = TopApp(stub, server)
        async with app.run_test(size=size) as pilot:
            yield Top(app, pilot)


@pytest.fixture
async def sleepers(cli: CommandLine, server: str) -> AsyncIterator[list[str]]:
    """Two tasks that run, of different priorities, and no others."""
    names = [f"top-{word}-{uuid4().hex[:6]}" for word in ("low", "critical")]
    async with connect(server) as stub:
        for name in names:
            task = api.Task(task_id=name, priority=name.split("-")[1], data=f"python:{PRINTS}", labels={"who": "top"})
            await stub.SubmitTask(api.SubmitTaskRequest(task=task))
        yield names
        for name in names:
            await stub.CancelTask(api.CancelTaskRequest(task_id=name))


async def test_everything_is_seen_at_a_glance(server: str, sleepers: list[str]) -> None:
    async with top(server) as view:
        await view.until(lambda: set(sleepers) <= set(view.order()))
        await view.until(lambda: view.rows("levels")["critical"][3] == "1")
        assert [row[0] for row in view.rows("levels").values()] == ["critical", "high", "normal", "low"]
        [runner] = view.rows("runners").values()
        await view.until(lambda: next(iter(view.rows("runners").values()))[3].startswith("2/"))
        assert runner[1] == "default"
        assert "1 runner, " in view.status


async def test_tasks_are_sorted_and_filtered_by_keys(server: str, sleepers: list[str]) -> None:
    low, critical = sleepers
    async with top(server) as view:
        await view.until(lambda: view.order() == [low, critical])
        await view.press("r")
        assert view.order() == [critical, low]
        await view.press("s", "s", "s", "s", "s")
        assert "by priority" in str(view.app.query_one("#tasks", DataTable).border_subtitle)
        assert view.order() == [critical, low]
        await view.press("slash", *"low who=top")
        assert view.order() == [low]
        await view.press("enter")
        assert view.app.query_one("#filter", Input).display
        await view.press("escape")
        assert set(view.order()) == {low, critical}
        assert not view.app.query_one("#filter", Input).display


async def test_a_task_is_opened_explained_and_cancelled(server: str, sleepers: list[str]) -> None:
    low, _ = sleepers
    async with top(server) as view:
        await view.until(lambda: low in view.order())
        await view.press("slash", *low, "enter", "enter")
        assert isinstance(view.app.screen, TaskScreen)
        await view.until(lambda: "Running: attempt 1 runs on" in view.text("#explanation"))
        await view.until(lambda: bool(view.app.screen.query_one("#output", RichLog).lines))
        assert "line " in view.app.screen.query_one("#output", RichLog).lines[0].text
        await view.press("c", "n")
        assert isinstance(view.app.screen, TaskScreen)
        await view.press("c", "y")
        await view.until(lambda: "a client cancelled it" in view.text("#explanation"))
        await view.press("escape", "v")
        await view.until(lambda: view.rows("tasks")[low][1] == "cancelled")
        await view.press("R")
        await view.until(lambda: view.rows("tasks")[low][1] == "running")
        await view.press("e")
        await view.until(lambda: "Running" in view.text("#explanation"))
        await view.press("escape", "q")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (200, 60)])
async def test_it_fits_terminals_of_every_size(server: str, sleepers: list[str], size: tuple[int, int]) -> None:
    async with top(server, size) as view:
        await view.until(lambda: set(sleepers) <= set(view.order()))
        table = view.app.query_one("#tasks", DataTable)
        assert table.region.height >= 4
        assert table.region.right <= size[0]
        await view.pilot.resize_terminal(100, 30)
        await view.until(lambda: table.region.right == 100)


@pytest.fixture
def services(rabbitmq_url: str, postgres_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Four processes of this test's own."""
    env = {"BROKER_URL": fresh_vhost(rabbitmq_url), "STORE_URL": fresh_database(postgres_url), "RUNNER_NAME": "mortal"}
    with running("services", tmp_path, env) as stack:
        yield stack


async def test_a_killed_runner_is_seen_within_five_seconds_and_a_server_that_comes_back(services: Stack) -> None:
    async with top(services.grpc_address) as view:
        await view.until(lambda: "mortal" in view.rows("runners"))
        await view.until(lambda: view.rows("runners")["mortal"][4] in ("0 s", "1 s"))
        services.stop("runner", signal.SIGKILL)
        await view.until(lambda: view.rows("runners")["mortal"][4].startswith("silent"), within=5.0)
        assert "1 silent" in view.status

        services.stop("ingest", signal.SIGKILL)
        await view.until(lambda: "AWAY" in view.status)
        assert "from before" in view.status
        services.start("ingest")
        await view.until(lambda: "slots busy" in view.status)


async def test_once_prints_tables_and_json_one_object(cli: CommandLine, sleepers: list[str]) -> None:
    said = await cli("top", "--once")
    assert said.code == 0, said.err
    assert "critical" in said.out
    # A pipe is no terminal.
    assert "heard" in (await cli("top")).out
    cluster = json.loads((await cli("top", "--json")).out)
    assert cluster["store_answers"]
    assert {task["task_id"] for task in cluster["running"]} >= set(sleepers)
