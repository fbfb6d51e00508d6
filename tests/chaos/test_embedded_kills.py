"""`taskandgo up` is killed at random instants, and its disk fills up: what was accepted finishes, the file is whole."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from taskandgo.api import scheduler_pb2 as api
from tests.chaos.client import Client
from tests.chaos.fleet import ROOT
from tests.chaos.mixed_tasks import MixedTask, mixed_task, short_python
from tests.chaos.verdict import breaches_of
from tests.e2e.stack import free_port

SEED = 5
KILLS = 6
TASKS_A_LIFE = 6
FINISH_SECONDS = 90.0
SMALL_DISK = "size=4m,mode=755"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that is soon full; it takes root to have one."""
    mount = ["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", tmp_path]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


@asynccontextmanager
async def _up(data: Path, address: str, how: signal.Signals) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `taskandgo up` that is ended `how` when the context is left."""
    others = ("--http", f"127.0.0.1:{free_port()}", "--metrics", f"127.0.0.1:{free_port()}", "--slots", "2")
    command = (sys.executable, "-m", "services.cli.main", "up", "--data", str(data), "--grpc", address, *others)
    # The chunks are not to blame for these deaths, however many of them a long one meets.
    env = {**os.environ, "DISPATCHER_MAX_LOST": "50", "DISPATCHER_MAX_LOST_UNSTARTED": "50"}
    with (data.parent / "up.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, cwd=ROOT, env=env)
    try:
        yield process
    finally:
        process.send_signal(how)
        await process.wait()


@pytest.mark.timeout(240)
async def test_what_was_accepted_finishes_whenever_the_process_is_killed(tmp_path: Path) -> None:
    dice, data, address = random.Random(SEED), tmp_path / "tasks.db", f"127.0.0.1:{free_port()}"
    async with Client([address]) as client:
        for life in range(KILLS):
            async with _up(data, address, signal.SIGKILL):
                for number in range(life * TASKS_A_LIFE, (life + 1) * TASKS_A_LIFE):
                    client.follow(mixed_task(number, SEED))
                await _until_some_are_accepted(client, life * TASKS_A_LIFE + 1)
                await asyncio.sleep(dice.uniform(0, 1.5))
            _assert_intact(data)
        async with _up(data, address, signal.SIGTERM), asyncio.timeout(FINISH_SECONDS):
            await client.settle()
            await _until_all_ended(client)
            statuses = {task_id: await client.status(task_id) for task_id in client.accepted}
    assert list(breaches_of(client, statuses)) == []
    assert len(client.accepted) == KILLS * TASKS_A_LIFE
    _assert_intact(data)


@pytest.mark.timeout(120)
async def test_a_full_disk_refuses_tasks_and_loses_none(small_disk: Path) -> None:
    data, filler, address = small_disk / "tasks.db", small_disk / "filler", f"127.0.0.1:{free_port()}"
    async with Client([address]) as client, _up(data, address, signal.SIGTERM):
        await client.submit(_printing(0))
        _fill(filler)
        refusal = None
        for number in range(1, 200):
            if refusal := await _refusal(client, number):
                break
        assert refusal in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
        filler.unlink()
        await client.submit(_printing(1000))
        async with asyncio.timeout(60):
            await _until_all_ended(client)
        statuses = {task_id: await client.status(task_id) for task_id in client.accepted}
    assert list(breaches_of(client, statuses)) == []
    _assert_intact(data)


def _printing(number: int) -> MixedTask:
    mixed = short_python(number, random.Random(number))
    mixed.task.task_id = f"on-a-full-disk-{number}"
    mixed.task.labels["filling"] = "x" * 200
    return mixed


async def _refusal(client: Client, number: int) -> grpc.StatusCode | None:
    mixed = _printing(number)
    try:
        await client.once(lambda stub: stub.SubmitTask(api.SubmitTaskRequest(task=mixed.task), timeout=20))
    except grpc.aio.AioRpcError as error:
        return error.code()
    client.submitted[mixed.task.task_id] = client.accepted[mixed.task.task_id] = mixed
    return None


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


async def _until_some_are_accepted(client: Client, count: int) -> None:
    while len(client.accepted) < count:
        await asyncio.sleep(0.02)


async def _until_all_ended(client: Client) -> None:
    for task_id in client.accepted:
        while (await client.status(task_id)).state in {api.TASK_STATE_QUEUED, api.TASK_STATE_RUNNING}:
            await asyncio.sleep(0.2)


def _assert_intact(data: Path) -> None:
    with sqlite3.connect(data) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
