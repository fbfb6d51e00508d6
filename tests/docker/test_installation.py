"""`docker compose up`, used: end-to-end tests, the dashboard, more runners, restarts under load, what is scraped."""

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
import yaml

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.docker.installation import LEVELS, ROOT, Installation, installed

RESTARTED = ("runner", "dispatcher", "monitor", "ingest", "rabbitmq", "postgres")
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
DASHBOARD = "http://127.0.0.1:8081"
SCRAPED = {"ingest", "dispatcher", "runner", "monitor"}


@pytest.fixture(scope="module", params=LEVELS)
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """One at each level, from nothing."""
    with installed(request.param) as running:
        yield running


@pytest.mark.timeout(1200)
def test_every_service_is_healthy(installation: Installation) -> None:
    found = {one["Service"]: one["Health"] or f"{one['State']} {one['ExitCode']}" for one in installation.containers()}
    once = {"secrets", "migrate"}
    assert {found.pop(name) for name in once} == {"exited 0"}
    assert set(found.values()) == {"healthy"}
    assert found.keys() > SCRAPED


@pytest.mark.timeout(1200)
def test_the_end_to_end_tests_pass(installation: Installation) -> None:
    asked = {"E2E_HOST": "127.0.0.1", "E2E_LEVEL": installation.level}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/e2e"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | asked, capture_output=True, text=True, check=False)
    print(done.stdout[-600:])  # noqa: T201 - how many there were
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
def test_prometheus_scrapes_every_service(installation: Installation) -> None:
    installation.up("--scale", "runner=3")
    wanted = Counter(SCRAPED) + Counter({"runner": 2})
    deadline = time.monotonic() + 60
    while (found := scraped()) != wanted and time.monotonic() < deadline:
        time.sleep(1)  # it asks every 15 s
    assert found == wanted


def scraped() -> Counter[str]:
    """How many targets of each of our services are up."""
    targets = prometheus("targets")["activeTargets"]
    return Counter(one["labels"]["job"] for one in targets if one["health"] == "up" and one["labels"]["job"] in SCRAPED)


def prometheus(asked: str) -> Any:
    """What Prometheus answers to a question of its API."""
    with urllib.request.urlopen(f"http://127.0.0.1:9090/api/v1/{asked}", timeout=10) as answer:
        return json.load(answer)["data"]


@pytest.mark.timeout(120)
def test_prometheus_evaluates_every_alert(installation: Installation) -> None:
    installation.up()
    deadline = time.monotonic() + 60
    while "unknown" in (found := alerts()).values() and time.monotonic() < deadline:
        time.sleep(1)  # not evaluated yet
    declared = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    assert found == {rule["alert"]: "ok" for group in declared for rule in group["rules"]}


def alerts() -> dict[str, str]:
    """Each alert's health, by its name."""
    return {rule["name"]: rule["health"] for group in prometheus("rules")["groups"] for rule in group["rules"]}


@pytest.mark.timeout(120)
async def test_the_dashboard_shows_a_task_and_its_button_cancels_it(installation: Installation) -> None:
    installation.up()
    run = uuid.uuid4().hex
    async with (
        grpc.aio.insecure_channel("127.0.0.1:50051") as channel,
        httpx.AsyncClient(base_url=DASHBOARD, headers={"origin": DASHBOARD}) as browser,
    ):
        client = api_grpc.SchedulerStub(channel)
        await submit(client, run, 0, "import time; time.sleep(100)")
        page = await browser.get(f"/tasks/{run}-0")
        loaded = [await browser.get(path) for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)]
        pressed = await browser.post(f"/tasks/{run}-0/cancel")
        (task,) = await listed(client, run)

    assert page.status_code == 200
    assert loaded
    assert {one.status_code for one in loaded} == {200}
    assert pressed.is_success or pressed.is_redirect, pressed.text
    assert task.state == api.TASK_STATE_CANCELLED


@pytest.mark.timeout(300)
async def test_three_runners_share_the_load(installation: Installation) -> None:
    installation.up("--scale", "runner=3")
    run = uuid.uuid4().hex
    async with grpc.aio.insecure_channel("127.0.0.1:50051") as channel:
        client = api_grpc.SchedulerStub(channel)
        await asyncio.gather(*(submit(client, run, number, "import time; time.sleep(0.2)") for number in range(90)))
        done = await finished(client, run, 90)
    by_runner = Counter(status.result.runner for status in done)
    assert len(by_runner) == 3
    assert min(by_runner.values()) >= 15, by_runner


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", RESTARTED)
async def test_a_restart_under_load_loses_nothing(installation: Installation, service: str) -> None:
    run, stop, accepted = uuid.uuid4().hex, asyncio.Event(), asyncio.Queue[int]()

    async def load(client: api_grpc.SchedulerStub) -> int:
        for number in itertools.count():
            if stop.is_set():
                return number
            await submit(client, run, number, f"import time; time.sleep(0.05); print({number})")
            accepted.put_nowait(number)
        return 0

    async def so_many_more(count: int) -> None:
        for _ in range(count):
            await accepted.get()

    async with grpc.aio.insecure_channel("127.0.0.1:50051") as channel:
        client = api_grpc.SchedulerStub(channel)
        loading = asyncio.create_task(load(client))
        await so_many_more(20)
        await asyncio.to_thread(installation.compose, "restart", service)
        await so_many_more(accepted.qsize() + 20)
        stop.set()
        done = await finished(client, run, await loading)
    wrong = [status for status in done if status.result.stdout != f"{status.task_id.partition('-')[2]}\n"]
    assert wrong == []
    await asyncio.to_thread(installation.up)


async def submit(client: api_grpc.SchedulerStub, run: str, number: int, code: str) -> None:
    """Submit a task as a client that tries again does: the same id and content is the same task."""
    task = api.Task(task_id=f"{run}-{number}", data=f"python:{code}", labels={"run": run})
    while True:
        try:
            answer = await client.SubmitTask(api.SubmitTaskRequest(task=task), timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() not in AWAY:
                raise
            await asyncio.sleep(0.2)
        else:
            assert answer.success
            return


async def finished(client: api_grpc.SchedulerStub, run: str, count: int) -> list[api.TaskStatus]:
    """The tasks of a run once all have succeeded; there have to be so many."""
    async with asyncio.timeout(200):
        while True:
            tasks = await listed(client, run)
            assert len(tasks) == count
            if all(task.state == api.TASK_STATE_SUCCEEDED for task in tasks):
                # A list tells no results.
                requests = [api.GetTaskRequest(task_id=task.task_id) for task in tasks]
                return [answer.task for answer in await asyncio.gather(*map(client.GetTask, requests))]
            await asyncio.sleep(0.5)


async def listed(client: api_grpc.SchedulerStub, run: str) -> list[api.TaskStatus]:
    """Every task of a run."""
    found: list[api.TaskStatus] = []
    token = ""
    while not found or token:
        request = api.ListTasksRequest(labels={"run": run}, page_size=1000, page_token=token)
        page = await client.ListTasks(request, timeout=30, wait_for_ready=True)
        found.extend(page.tasks)
        token = page.next_page_token
    return found
