"""What tasks and foreign sites can send: it stays text, and nobody else reads or steers the dashboard."""

import httpx
import pytest
from playwright.async_api import Page, expect

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.dashboard.submitting import WRITES_AND_WAITS, submit
from tests.e2e.stack import Stack

ATTACK = "</pre></script><img src=x onerror=window.broken=1><hx-partial hx-target=body>gone</hx-partial>"


async def test_what_a_task_says_stays_text(page: Page, client: api_grpc.SchedulerStub) -> None:
    writes = f"for _ in range(60): print({ATTACK!r}, flush=True); time.sleep(0.1)"
    code = f"import sys, time\n{writes}\nprint({ATTACK!r}, file=sys.stderr); exit(1)"
    await page.goto("/")
    await expect(page.locator("#live-state")).to_have_text("live")
    submit(client, "hostile-1", code, labels={"set": ATTACK})
    await page.goto("/tasks/hostile-1")
    await expect(page.locator("#log")).to_contain_text(ATTACK)
    await expect(page.locator("pre.code")).to_contain_text(ATTACK)
    await expect(page.locator("#result pre.stderr")).to_contain_text(ATTACK)
    await expect(page.locator("#task-head .label")).to_have_text(f"set={ATTACK}")
    for path in (
        "/tasks/hostile-1",
        "/tasks",
        "/",
        "/tasks?q=" + httpx.URL("/", params={"q": ATTACK}).query.decode()[2:],
    ):
        await page.goto(path)
        await expect(page.locator("#live-state")).to_have_text("live")
        assert await page.locator("img[src=x]").count() == 0
        assert await page.evaluate("window.broken === undefined")


async def test_a_carriage_return_cannot_end_a_line_of_the_stream(page: Page, client: api_grpc.SchedulerStub) -> None:
    attack = "\rdata: <img src=x onerror=window.broken=1>\r\revent: output\rdata: {}\r\r"
    submit(client, "hostile-2", f"print({attack!r}, flush=True); raise SystemExit(1)")
    await page.goto("/tasks/hostile-2")
    await expect(page.locator("#result pre.stdout")).to_contain_text("<img src=x")
    assert await page.locator("img[src=x]").count() == 0


def test_kept_output_is_served_as_text_that_may_do_nothing(client: api_grpc.SchedulerStub, stack: Stack) -> None:
    submit(client, "hostile-3", "print('<script>alert(1)</script>')")
    wait = client.WatchTask(api.WatchTaskRequest(task_id="hostile-3"))
    assert [*wait]
    answer = httpx.get(f"http://{stack.metrics_address}/tasks/hostile-3/output/stdout")
    assert answer.text == "<script>alert(1)</script>\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/tasks", "/tasks/no-such", "/api/overview", "/static/dashboard.js", "/nowhere"])
def test_every_answer_forbids_foreign_code_and_frames(stack: Stack, path: str) -> None:
    policy = httpx.get(f"http://{stack.metrics_address}{path}").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://{own}", "sec-fetch-site": "cross-site"},
        {"origin": "http://{own}", "sec-fetch-site": "same-site"},
    ],
)
def test_a_button_obeys_its_own_pages_only(
    client: api_grpc.SchedulerStub, stack: Stack, headers: dict[str, str]
) -> None:
    submit(client, "kept-1", WRITES_AND_WAITS)
    sent = {name: value.format(own=stack.metrics_address) for name, value in headers.items()}
    answer = httpx.post(f"http://{stack.metrics_address}/tasks/kept-1/cancel", headers=sent)
    assert answer.status_code == 403
    assert not client.GetTask(api.GetTaskRequest(task_id="kept-1")).task.HasField("finished_at")


def test_a_page_of_its_own_may(client: api_grpc.SchedulerStub, stack: Stack) -> None:
    submit(client, "kept-1", WRITES_AND_WAITS)
    base = f"http://{stack.metrics_address}"
    answer = httpx.post(f"{base}/tasks/kept-1/cancel", headers={"origin": base})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tasks/kept-1")
    assert client.GetTask(api.GetTaskRequest(task_id="kept-1")).task.state == api.TASK_STATE_CANCELLED


@pytest.mark.parametrize(("host", "status"), [("rebound.example", 421), ("monitor", 200), ("127.0.0.1", 200)])
def test_a_foreign_name_gets_nothing(stack: Stack, host: str, status: int) -> None:
    assert httpx.get(f"http://{stack.metrics_address}/tasks", headers={"host": host}).status_code == status


def test_metrics_are_there_under_any_name(stack: Stack) -> None:
    answer = httpx.get(f"http://{stack.metrics_address}/metrics", headers={"host": "monitor.somewhere.example"})
    assert answer.status_code == 200


def test_a_strange_query_is_no_error(stack: Stack) -> None:
    base = f"http://{stack.metrics_address}"
    for query in (
        "state=no",
        "priority=no",
        "after=no",
        "after=2026-01-01T00:00:00~x",
        "q=%00",
        "q=%25_%5C",
        "q=a%3Db",
    ):
        assert httpx.get(f"{base}/tasks?{query}").status_code == 200
    for path in ("/tasks/%00", "/tasks/x%00y/chunks", "/tasks/no-such", "/tasks/no-such/output/stdout"):
        assert httpx.get(f"{base}{path}").status_code == 404
