"""One word per hop: a message, its route, its queue and its handler file are called the same."""

import re
from pathlib import Path
from typing import cast

import pytest

from services.runner.languages.languages import make_languages
from services.runner.sandbox.box import Box
from services.runner.settings import RunnerSettings
from taskandgo import words
from taskandgo.broker.topology import DEAD_LETTER, MONITOR_DEAD_LETTER, ROUTES, SHARED_QUEUES, Queue, runner_chunk_ready
from taskandgo.messages import (
    ChunkCancelled,
    ChunkFinished,
    ChunkOutput,
    ChunkReady,
    ChunkStarted,
    Message,
    RunnerHeartbeat,
    TaskCancelled,
    TaskFinished,
    TaskSubmitted,
)
from taskandgo.settings import load

SERVICES = Path(__file__).parents[2] / "services"
#: What ingest and the monitor pass on to whoever watches a task, and what the dashboard shows.
WATCHERS, PAGES = "../taskandgo/watchers.py", "monitor/dashboard/live_events.py"
#: Who handles which message.
HANDLERS: dict[type[Message], tuple[str, ...]] = {
    TaskSubmitted: ("dispatcher/on_task_submitted.py",),
    ChunkReady: ("runner/on_chunk_ready.py",),
    ChunkStarted: (
        "dispatcher/on_chunk_started.py",
        "monitor/on_chunk_started.py",
        WATCHERS,
        "ingest/event_rates.py",
        PAGES,
    ),
    ChunkOutput: (WATCHERS,),
    ChunkFinished: ("dispatcher/on_chunk_finished.py", "monitor/on_chunk_finished.py"),
    TaskFinished: ("monitor/on_task_finished.py", WATCHERS, "ingest/event_rates.py", PAGES),
    TaskCancelled: ("dispatcher/on_task_cancelled.py", "runner/on_task_cancelled.py"),
    ChunkCancelled: ("runner/on_chunk_cancelled.py",),
    RunnerHeartbeat: (
        *("dispatcher/on_runner_heartbeat.py", "ingest/on_runner_heartbeat.py"),
        *("monitor/on_runner_heartbeat.py", PAGES),
    ),
}
#: Handlers of what is no message class: whatever the broker dead-lettered.
OTHER_HANDLERS = {"monitor/on_dead_letter.py"}
#: Shared queues that a service consumes; `dead-letter` is for people.
CONSUMED = [queue for queue in SHARED_QUEUES if queue != DEAD_LETTER] + [runner_chunk_ready("default")]


def dashed(kind: type[Message]) -> str:
    """The message's name as routes say it: TaskSubmitted is task.submitted."""
    return re.sub(r"(?<!^)(?=[A-Z])", ".", kind.__name__).lower()


def handler_of(queue: Queue) -> str:
    """The file that a queue's name promises: `dispatcher.task-submitted` is dispatcher/on_task_submitted.py."""
    service, message, *_pool = queue.name.split(".")
    return f"{service}/on_{message.replace('-', '_')}.py"


def test_every_route_has_its_handlers() -> None:
    assert HANDLERS.keys() == ROUTES.keys()


@pytest.mark.parametrize("kind", ROUTES)
def test_a_route_is_called_like_its_message(kind: type[Message]) -> None:
    key = ROUTES[kind].key
    assert key == dashed(kind) or key.startswith(f"{dashed(kind)}.{{")


@pytest.mark.parametrize(("kind", "file"), [(kind, file) for kind, files in HANDLERS.items() for file in files])
def test_a_handler_file_is_there_and_speaks_of_its_message(kind: type[Message], file: str) -> None:
    path = SERVICES / file
    assert path.is_file()
    assert kind.__name__ in path.read_text()


def test_every_handler_file_belongs_to_a_message() -> None:
    found = {str(path.relative_to(SERVICES)) for path in SERVICES.glob("*/on_*.py")}
    listed = {file for files in HANDLERS.values() for file in files if "/on_" in file}
    assert found == listed | OTHER_HANDLERS


@pytest.mark.parametrize("kind", [kind for kind, route in ROUTES.items() if route.kept])
def test_a_kept_message_has_a_queue_whose_handler_is_listed(kind: type[Message]) -> None:
    key = re.sub(r"\{\w+\}", "default", ROUTES[kind].key)
    queues = [queue for queue in CONSUMED if any(_matches(binding, key) for binding in queue.bindings)]
    assert queues
    assert {handler_of(queue) for queue in queues} <= set(HANDLERS[kind])


@pytest.mark.parametrize("queue", CONSUMED, ids=lambda queue: queue.name)
def test_a_queue_is_called_like_its_handler(queue: Queue) -> None:
    assert (SERVICES / handler_of(queue)).is_file()


def test_dead_letters_are_counted_by_the_monitor() -> None:
    assert handler_of(MONITOR_DEAD_LETTER) in OTHER_HANDLERS


def test_the_runner_speaks_the_languages_that_tasks_may_name() -> None:
    # They are only named here and run nothing, so they need no box.
    spoken = make_languages(load(RunnerSettings), cast("Box", None))
    assert spoken.keys() == words.LANGUAGES.keys()


def _matches(binding: str, key: str) -> bool:
    pattern = re.escape(binding).replace(r"\.\#", r"(\..*)?").replace(r"\#", ".*").replace(r"\*", r"[^.]+")
    return re.fullmatch(pattern, key) is not None
