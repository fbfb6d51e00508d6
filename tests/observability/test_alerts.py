"""The right alerts fire when something is wrong, in a real Prometheus, and end when it is right again.

Nothing is shortened but the time that an alert waits before it fires.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import aio_pika
import pytest

from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.topology import EXCHANGE
from tests.observability.conftest import Observed
from tests.servers.rabbitmq import NODES, PrivateNode

#: The first of them starts servers and nine processes.
pytestmark = pytest.mark.timeout(300)

RUNNERS = ("runner", "runner-2")
SLEEPS = "python:import time; time.sleep(60)"


@pytest.fixture
def quiet(observed: Observed) -> Iterator[Observed]:
    """Nothing fires before, and nothing after."""
    observed.prometheus.once(lambda seen: not seen.firing())
    yield observed
    observed.prometheus.once(lambda seen: not seen.firing())


def fires(observed: Observed, *names: str) -> None:
    """Return when these alerts fire, all of them at once."""
    observed.prometheus.once(lambda seen: set(names) <= seen.firing())


def submit(observed: Observed, *tasks: api.Task) -> list[str]:
    """Submit tasks; their ids."""
    with observed.stack.client() as client:
        answers = client.SubmitTasks(api.SubmitTasksRequest(tasks=tasks)).answers
    assert all(answer.success for answer in answers)
    return [answer.task_id for answer in answers]


def cancel(observed: Observed, task_ids: list[str]) -> None:
    """Cancel tasks."""
    with observed.stack.client() as client:
        for task_id in task_ids:
            client.CancelTask(api.CancelTaskRequest(task_id=task_id))


def test_tasks_that_fail(quiet: Observed) -> None:
    submit(quiet, *(api.Task(data="python:raise SystemExit(1)") for _ in range(30)))
    fires(quiet, "TaskAndGoTasksFail")


def test_runners_that_are_killed(quiet: Observed) -> None:
    running = submit(quiet, *(api.Task(data=SLEEPS) for _ in RUNNERS))
    waiting = submit(quiet, api.Task(data=SLEEPS, priority="critical"))
    fires(quiet, "TaskAndGoSlotsFull", "TaskAndGoCriticalBacklog")
    for name in RUNNERS:
        quiet.stack.stop(name, signal.SIGKILL)
    fires(quiet, "TaskAndGoDown", "TaskAndGoNoRunner", "TaskAndGoCriticalBacklog")
    for name in RUNNERS:
        quiet.start(name)
    fires(quiet, "TaskAndGoAttemptsLost")
    cancel(quiet, running + waiting)


def test_a_pool_without_runners(quiet: Observed) -> None:
    waiting = submit(quiet, api.Task(data=SLEEPS, pool="misspelt"))
    fires(quiet, "TaskAndGoNoRunner")
    cancel(quiet, waiting)


def test_dead_letters(quiet: Observed) -> None:
    url = quiet.stack.env["BROKER_URL"]
    in_thread(lambda: publish(url, b"torn"))
    fires(quiet, "TaskAndGoDeadLetters")
    node(quiet).control("purge_queue", "-p", vhost(quiet), "dead-letter")


def test_a_broker_that_takes_nothing(quiet: Observed) -> None:
    with short_of_memory(node(quiet)):
        # It tells a publisher only when that publishes; what is accepted waits, and is not lost.
        (accepted,) = submit(quiet, api.Task(data="python:pass"))
        fires(quiet, "TaskAndGoBrokerBlocked")
    with quiet.stack.client() as client:
        *_, last = client.WatchTask(api.WatchTaskRequest(task_id=accepted), timeout=60)
    assert last.status.state == api.TASK_STATE_SUCCEEDED


def test_a_service_that_is_gone(quiet: Observed) -> None:
    quiet.stack.stop("dispatcher-2")
    fires(quiet, "TaskAndGoDown")
    assert quiet.prometheus.firing() == {"TaskAndGoDown"}
    quiet.start("dispatcher-2")


def node(observed: Observed) -> PrivateNode:
    """The broker itself."""
    (found,) = [one for url, one in NODES.items() if observed.stack.env["BROKER_URL"].startswith(url)]
    return found  # type: ignore[return-value]


def vhost(observed: Observed) -> str:
    """The part of the broker that is this product's."""
    return observed.stack.env["BROKER_URL"].rpartition("/")[2]


@contextmanager
def short_of_memory(broker: PrivateNode) -> Iterator[None]:
    """The broker believes so, while the context lasts."""
    broker.control("set_vm_memory_high_watermark", "0.000001")
    try:
        yield
    finally:
        broker.control("set_vm_memory_high_watermark", "0.6")


async def publish(url: str, body: bytes) -> None:
    """Publish what is no message."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(aio_pika.Message(body), "task.submitted")


def in_thread(work: Callable[[], object]) -> None:
    """Run in a thread of its own, since the tests' thread has an event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(work())).result()  # type: ignore[arg-type]
