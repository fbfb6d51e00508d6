"""What a submitted task must be like, beyond what the end-to-end tests try."""

from datetime import UTC, datetime

import pytest

from services.ingest.task_rules import TaskRules
from taskandgo.api import scheduler_pb2 as api
from taskandgo.rpc.refusal import RefusalError
from taskandgo.words import Priority, Strategy

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RULES = TaskRules(Strategy.SPLIT, max_data_bytes=1000, max_timeout_seconds=10, max_chunks=50)


def test_what_is_left_out_takes_its_default() -> None:
    spec = RULES.spec(api.Task(data="python:print('a:b')"), NOW)

    assert spec.task_id.startswith("task-")
    assert (spec.priority, spec.strategy, spec.pool) == (Priority.NORMAL, Strategy.SPLIT, "default")
    assert (spec.language, spec.code) == ("python", "print('a:b')")
    assert spec.limits.timeout_seconds is None


def test_every_wrong_field_is_named_at_once() -> None:
    task = api.Task(task_id="/", priority="p", strategy="s", pool="P", data="x", labels={"": ""}, env={"1": ""})
    task.limits.timeout.FromSeconds(11)

    with pytest.raises(RefusalError) as refused:
        RULES.spec(task, NOW)

    fields = {violation.field for violation in refused.value.violations}
    assert fields == {
        "task.task_id", "task.priority", "task.strategy", "task.pool", "task.data", "task.labels", "task.env",
        "task.limits.timeout",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "GOFLAGS", "TASK_ID", "CHUNK_INDEX", "PATH", "A=B", "é"])
def test_an_environment_name_that_steers_something_is_refused(name: str) -> None:
    with pytest.raises(RefusalError):
        RULES.spec(api.Task(data="python:pass", env={name: "x"}), NOW)


def test_stdin_counts_toward_the_size() -> None:
    with pytest.raises(RefusalError, match="at most 1000"):
        RULES.spec(api.Task(data="python:pass", stdin=b"x" * 1000), NOW)
