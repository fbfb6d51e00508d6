"""Pages for everybody: by keyboard alone, by screen reader, in light and dark, on a phone."""

import pytest
from playwright.async_api import Page, expect

from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.dashboard.submitting import submit

PAGES = ("/", "/tasks", "/runners", "/tasks/seen-1", "/tasks/seen-2")


@pytest.fixture(scope="module")
def seen(client: api_grpc.SchedulerStub) -> None:
    """A task that failed, and one of many chunks."""
    submit(client, "seen-1", "print('out'); raise ValueError('bad')", labels={"team": "blue"})
    submit(client, "seen-2", "import os; raise SystemExit(os.environ['CHUNK_INDEX'] == '3')", chunks=12)


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("path", PAGES)
async def test_nobody_stumbles_over_a_page(page: Page, axe: str, path: str) -> None:
    await page.goto(path)
    await expect(page.locator("#live-state")).to_have_text("live")
    if path.startswith("/tasks/"):
        await expect(page.locator("#task-head .pill")).to_have_text("failed")
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        found = await page.evaluate(f"{axe}; axe.run()")
        assert [(one["id"], node["html"]) for one in found["violations"] for node in one["nodes"]] == []


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_fits_a_phone(page: Page, path: str) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.goto(path)
    await expect(page.locator("#live-state")).to_have_text("live")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.usefixtures("seen")
async def test_the_keyboard_alone_finds_and_opens_a_task(page: Page) -> None:
    await page.goto("/")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    for _ in range(3):
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Tasks", exact=True)).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/tasks")
    await page.get_by_label("Find").focus()
    await page.keyboard.type("seen-1")
    await expect(page.locator("#found tbody tr")).to_have_count(1)
    await expect(page.get_by_label("Find")).to_be_focused()
    link = page.get_by_role("link", name="seen-1")
    for _ in range(8):
        await page.keyboard.press("Tab")
        if await link.evaluate("link => link === document.activeElement"):
            break
    await expect(link).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/tasks/seen-1")


async def test_focus_stays_while_the_page_changes(page: Page, client: api_grpc.SchedulerStub) -> None:
    await page.goto("/")
    await expect(page.locator("#live-state")).to_have_text("live")
    await page.locator("#queues").locator("xpath=..").get_by_role("heading").wait_for()
    await page.locator("#recent .scroll").focus()
    submit(client, "focus-1", "pass")
    await expect(page.locator("#recent")).to_contain_text("focus-1")
    await expect(page.locator("#recent .scroll")).to_be_focused()


async def test_light_or_dark_is_chosen_and_kept(page: Page) -> None:
    await page.goto("/")
    await page.get_by_role("button", name="Switch between light and dark").click()
    chosen = await page.evaluate("document.documentElement.dataset.theme")
    await page.goto("/tasks")
    assert await page.evaluate("document.documentElement.dataset.theme") == chosen == "dark"
