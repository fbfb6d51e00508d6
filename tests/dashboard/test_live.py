"""The dashboard as people use it: nothing is reloaded, and what happens shows by itself."""

import signal
import time

import httpx
from playwright.async_api import Browser, Page, expect

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.chaos.proxy import Proxy
from tests.dashboard.submitting import WRITES_AND_WAITS, submit
from tests.e2e.stack import Stack

#: As long as a dead runner may look alive.
SILENT_SECONDS = 5.0


async def test_a_task_shows_in_the_list_runs_and_leaves_its_output(page: Page, client: api_grpc.SchedulerStub) -> None:
    await page.goto("/tasks?q=live-1")
    await expect(page.locator("#live-state")).to_have_text("live")
    await page.evaluate("window.same = true")
    submit(client, "live-1", "import time\nfor n in range(40): print('tick', n, flush=True); time.sleep(0.1)")
    await page.get_by_role("link", name="live-1").wait_for()
    assert await page.evaluate("window.same")
    await page.get_by_role("link", name="live-1").click()
    await page.evaluate("window.same = true")
    await expect(page.locator("#task-head .pill")).to_have_text("running")
    await expect(page.locator("#log")).to_contain_text("tick")
    assert await page.locator("#task-head .pill").inner_text() == "running"
    await expect(page.locator("#task-head .pill")).to_have_text("succeeded")
    await expect(page.locator("#result pre.stdout")).to_contain_text("tick 0\ntick 1\n")
    await expect(page.locator("#usage")).to_contain_text("Peak memory")
    await expect(page.locator("#task-why")).to_contain_text("Succeeded")
    assert await page.evaluate("window.same")


async def test_the_grid_of_a_split_fills(page: Page, client: api_grpc.SchedulerStub) -> None:
    submit(
        client,
        "split-1",
        "import os, time; time.sleep(0.1); raise SystemExit(os.environ['CHUNK_INDEX'] == '7')",
        chunks=40,
    )
    await page.goto("/tasks/split-1")
    done = page.locator("#cells .cell.s")
    await expect(done.nth(4)).to_be_attached()
    early = await done.count()
    assert early < 39
    await expect(done).to_have_count(39)
    await expect(page.locator("#cells .cell.f")).to_have_count(1)
    await expect(page.locator("#chunk-counts")).to_contain_text("39 succeeded")
    await page.get_by_role("link", name="failed", exact=True).click()
    await expect(page.locator("#chunk-rows tbody tr")).to_have_count(1)
    await expect(page.locator("#chunk-rows tbody tr th")).to_have_text("7")


async def test_a_click_on_a_cell_lists_its_chunk(page: Page, client: api_grpc.SchedulerStub) -> None:
    submit(client, "split-2", "pass", chunks=30)
    await page.goto("/tasks/split-2")
    await expect(page.locator("#cells .cell.s")).to_have_count(30)
    await page.locator("#cells .cell").nth(25).click()
    await expect(page.locator("#chunk-rows tbody tr th").first).to_have_text("25")


async def test_the_buttons_cancel_and_retry(page: Page, client: api_grpc.SchedulerStub) -> None:
    submit(client, "stopped-1", WRITES_AND_WAITS)
    await page.goto("/tasks/stopped-1")
    await expect(page.locator("#task-head .pill")).to_have_text("running")
    page.once("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#task-head .pill")).to_have_text("cancelled")
    await expect(page.locator("#notice")).to_contain_text("stopped-1 cancelled")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator("#task-head .pill")).to_have_text("running")
    page.once("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#task-head .pill")).to_have_text("cancelled")


async def test_a_runner_that_is_killed_shows_within_five_seconds(page: Page, stack: Stack) -> None:
    await page.goto("/")
    stack.start("runner-2", RUNNER_NAME="doomed")
    row = page.locator("#runners tr", has_text="doomed")
    await expect(row.locator(".pill")).to_have_text("live")
    stack.stop("runner-2", signal.SIGKILL)
    killed_at = time.monotonic()
    await expect(row.locator(".pill")).to_have_text("silent")
    assert time.monotonic() - killed_at <= SILENT_SECONDS
    await expect(page.locator("#health")).to_contain_text("1 runner fell silent: doomed")


async def test_the_overview_shows_what_runs_and_what_came(page: Page, client: api_grpc.SchedulerStub) -> None:
    await page.goto("/")
    await expect(page.locator("#live-state")).to_have_text("live")
    submit(client, "glance-1", "import time; time.sleep(2)")
    await expect(page.locator("#running")).to_contain_text("glance-1")
    await expect(page.locator("#recent")).to_contain_text("glance-1")
    await expect(page.locator("#running")).not_to_contain_text("glance-1")
    await expect(page.locator("[data-chart=throughput] canvas")).to_be_visible()
    await expect(page.locator("figure", has_text="Tasks finished").locator(".values")).to_contain_text("succeeded")


async def test_the_list_is_narrowed_by_state_and_label(page: Page, client: api_grpc.SchedulerStub) -> None:
    submit(client, "narrow-good", "pass", labels={"set": "narrow"})
    submit(client, "narrow-bad", "raise SystemExit(1)", labels={"set": "narrow"})
    await page.goto("/tasks")
    await page.get_by_label("Find").fill("set=narrow")
    await expect(page.locator("#found tbody tr")).to_have_count(2)
    await page.get_by_label("State").select_option("failed")
    await expect(page.locator("#found tbody tr")).to_have_count(1)
    await expect(page.locator("#found")).to_contain_text("narrow-bad")
    assert "state=failed" in page.url
    await page.reload()
    await expect(page.locator("#found tbody tr")).to_have_count(1)


def test_what_waits_is_counted_over_all_pools(client: api_grpc.SchedulerStub, stack: Stack) -> None:
    pools = ("nowhere", "elsewhere")
    for pool in pools:
        task = api.Task(task_id=pool, data="python:pass", pool=pool, priority="low")
        client.SubmitTask(api.SubmitTaskRequest(task=task))
    overview = httpx.get(f"http://{stack.metrics_address}/api/overview").json()
    assert {level["priority"]: level["waiting"] for level in overview["queues"]}["low"] == len(pools)
    for pool in pools:
        client.CancelTask(api.CancelTaskRequest(task_id=pool))


async def test_a_connection_that_fell_silent_is_made_anew(browser: Browser, stack: Stack) -> None:
    async with Proxy((int(stack.metrics_address.rpartition(":")[2]),)).running() as proxy:
        page = await browser.new_page()
        await page.clock.install()
        await page.goto(f"http://127.0.0.1:{proxy.port}/runners")
        state = page.locator("#live-state")
        await expect(state).to_have_text("live")
        proxy.silent = True
        await page.clock.fast_forward(60_000)
        await expect(state).to_have_text("not connected")
        proxy.heal()
        await expect(state).to_have_text("live")
        await page.close()
