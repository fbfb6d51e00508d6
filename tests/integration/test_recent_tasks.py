"""A task that was removed, and whose id came again with other content, is emitted with its own content."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.dispatcher import recent_tasks
from services.dispatcher.recent_tasks import RecentTasks
from taskandgo.store.connect import open_store
from taskandgo.store.records import Submission
from taskandgo.store.store import Store
from taskandgo.task import TaskSpec
from taskandgo.words import Priority


async def accept(store: Store, code: str) -> None:
    now = datetime.now(UTC)
    task = TaskSpec(task_id="nightly", priority=Priority.LOW, language="python", code=code, queued_at=now)
    await store.accept_task(Submission(task=task, content_hash=code.encode()))


async def code(recent: RecentTasks) -> str:
    found = await recent.get("nightly")
    assert found
    return found.spec.code


async def test_what_was_removed_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        recent = RecentTasks(store)
        await accept(store, "old")
        assert await code(recent) == "old"
        await store.cancel_task("nightly", datetime.now(UTC))
        assert await store.remove_finished(datetime.now(UTC) + timedelta(seconds=1), 10) == 1
        await accept(store, "new")
        monkeypatch.setattr(recent_tasks, "REMEMBERED_SECONDS", 0.0)
        assert await code(recent) == "new"
