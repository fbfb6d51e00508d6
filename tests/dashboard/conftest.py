"""A real Chromium, and pages of a real stack in it that may speak to nobody else and complain of nothing."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import Stack, running
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

PATIENCE_SECONDS = 20
#: As root Chromium cannot make the sandbox that it would run pages in.
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]


@pytest.fixture(scope="session")
def stack(rabbitmq_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Four services over a RabbitMQ and a PostgreSQL."""
    env = {"BROKER_URL": fresh_vhost(rabbitmq_url), "STORE_URL": fresh_database(postgres_url), "RUNNER_NAME": "steady"}
    with running("services", tmp_path_factory.mktemp("dashboard"), env) as started:
        yield started


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[api_grpc.SchedulerStub]:
    """A client of the API."""
    with stack.client() as connected:
        yield connected


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium; Playwright's own is never downloaded."""
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    path = shutil.which("chromium")
    assert path, "Chromium is missing: tools/install-chromium"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        await started.close()


@pytest.fixture
async def page(browser: Browser, stack: Stack) -> AsyncIterator[Page]:
    """A page whose addresses begin at the monitor; it fails the test that asks elsewhere or breaks the policy."""
    base = f"http://{stack.metrics_address}"
    context = await browser.new_context(base_url=base)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    opened = await context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield opened
    await context.close()
    assert [url for url in asked if not url.startswith(base)] == []
    assert complaints == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which finds what people with disabilities would stumble over."""
    path = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
    assert path.is_file(), "axe-core is missing: tools/vendor-dashboard --check"
    return path.read_text()
