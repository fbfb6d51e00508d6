"""64 MiB in and 64 MiB out, in both shapes of the product, without any service's memory growing with it."""

import hashlib
import json
import os
import random
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.e2e.stack import SHAPES, Stack, running
from tests.servers.postgres import fresh_database
from tests.servers.rabbitmq import fresh_vhost

log = structlog.get_logger()

MIB = 1024 * 1024
LARGE = 64 * MIB
#: How much any process may grow at its peak while 64 MiB pass through; 8 MiB of it may be live output on its way.
MOST_GROWTH = 40 * MIB
ECHO = "python:import sys\nwhile block := sys.stdin.buffer.read(1 << 16):\n    sys.stdout.buffer.write(block)\n"
COUNT = "python:import sys\nprint(sum(1 for _ in sys.stdin.buffer))\n"
SUM = "python:import sys, json\nprint(sum(int(json.loads(line)['stdout']) for line in sys.stdin))\n"


@pytest.fixture(scope="module", params=SHAPES)
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {"RUNNER_OUTPUT_KEEP_BYTES": str(LARGE)}
    if request.param == "services":
        env["BROKER_URL"] = fresh_vhost(request.getfixturevalue("rabbitmq_url"))
        env["STORE_URL"] = fresh_database(request.getfixturevalue("postgres_url"))
    with running(request.param, tmp_path_factory.mktemp(f"large-{request.param}"), env) as started:
        yield started


@pytest.fixture
def api_client(large: Stack) -> Iterator[api_grpc.SchedulerStub]:
    with large.client() as connected:
        yield connected


class Memory:
    """The peak of each process of the stack from now on."""

    def __init__(self, stack: Stack) -> None:
        self._before = {name: self._read(process.pid, "VmRSS") for name, process in stack.processes.items()}
        self._pids = {name: process.pid for name, process in stack.processes.items()}
        for pid in self._pids.values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def growth(self) -> dict[str, int]:
        return {name: self._read(pid, "VmHWM") - self._before[name] for name, pid in self._pids.items()}

    @staticmethod
    def _read(pid: int, name: str) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(MIB) * (size // MIB)


def upload(stack: Stack, content: bytes) -> dict[str, Any]:
    request = urllib.request.Request(f"http://{stack.http_address}/blobs", data=content, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def finish(client: api_grpc.SchedulerStub, task: api.Task) -> tuple[api.TaskStatus, bytes]:
    """The final state, and all output that came."""
    final, written = api.TaskStatus(), bytearray()
    for event in client.RunTask(api.RunTaskRequest(task=task), timeout=100):
        if event.HasField("status"):
            final = event.status
        elif event.HasField("output") and event.output.stream == api.Output.STREAM_STDOUT:
            written[event.output.offset :] = event.output.data or event.output.text.encode()
    return final, bytes(written)


def taskandgo(stack: Stack, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "services.cli.main", *arguments, "--server", stack.grpc_address]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, env=env, capture_output=True, timeout=100, check=False)


def test_large_input_and_output_pass_through_and_no_process_grows(
    large: Stack, api_client: api_grpc.SchedulerStub
) -> None:
    finish(api_client, api.Task(data="python:print(1)"))
    content = noise(LARGE)
    memory = Memory(large)

    blob = upload(large, content)
    final, written = finish(api_client, api.Task(task_id="large:in.and_out", data=ECHO, stdin_blob=blob["sha256"]))
    with urllib.request.urlopen(f"http://{large.http_address}/tasks/large:in.and_out/stdout", timeout=60) as answer:
        whole = hashlib.sha256(answer.read()).hexdigest()
    read = api_client.ReadOutput(api.ReadOutputRequest(task_id="large:in.and_out"), timeout=60)
    streamed = hashlib.sha256(b"".join(part.data for part in read)).hexdigest()

    assert (blob["sha256"], blob["size_bytes"]) == (hashlib.sha256(content).hexdigest(), str(LARGE))
    assert (final.state, final.result.reason) == (api.TASK_STATE_SUCCEEDED, ""), large.log()
    assert final.result.stdout_bytes == content[:MIB]
    assert (final.result.stdout_kept_bytes, final.result.stdout_truncated) == (LARGE, True)
    assert whole == streamed == blob["sha256"]
    assert hashlib.sha256(written).hexdigest() == blob["sha256"]
    growth = memory.growth()
    log.info("memory.grown", **{name: f"{size / MIB:.1f} MiB" for name, size in growth.items()})
    assert max(growth.values(), default=0) < MOST_GROWTH, growth


def test_large_text_is_cut_by_lines_and_reduced(large: Stack, api_client: api_grpc.SchedulerStub) -> None:
    finish(api_client, api.Task(data="python:print(1)"))
    lines = LARGE // 16
    blob = upload(large, b"fifteen letters\n" * lines)
    memory = Memory(large)

    split = api.Split(lines_blob=blob["sha256"], chunks=7, reduce=SUM)
    final, _ = finish(api_client, api.Task(data=COUNT, split=split))

    assert (final.state, final.chunk_count) == (api.TASK_STATE_SUCCEEDED, 7), large.log()
    assert final.result.stdout == f"{lines}\n"
    assert max(memory.growth().values(), default=0) < MOST_GROWTH, memory.growth()


def test_large_outputs_reach_the_reduce(large: Stack, api_client: api_grpc.SchedulerStub) -> None:
    code = "python:import os, sys\nsys.stdout.write(os.environ['CHUNK_INDEX'] * 9_000_000)\n"
    reduce = (
        "python:import sys, json\n"
        "for line in sys.stdin:\n"
        "    one = json.loads(line)\n"
        "    print(one['chunk_index'], len(one['stdout']), set(one['stdout']) == {str(one['chunk_index'])})\n"
    )

    final, _ = finish(api_client, api.Task(data=code, split=api.Split(chunks=3, reduce=reduce)))

    assert final.state == api.TASK_STATE_SUCCEEDED, final.result.reason
    assert final.result.stdout == "".join(f"{index} 9000000 True\n" for index in range(3))


def test_large_outputs_of_chunks_are_joined(large: Stack, api_client: api_grpc.SchedulerStub) -> None:
    code = "python:import os, sys\nsys.stdout.write(os.environ['CHUNK_INDEX'] * 6_000_000)\n"

    final, _ = finish(api_client, api.Task(task_id="joined", data=code, split=api.Split(chunks=3)))
    with urllib.request.urlopen(f"http://{large.http_address}/tasks/joined/stdout", timeout=60) as answer:
        whole = answer.read()

    assert final.state == api.TASK_STATE_SUCCEEDED, final.result.reason
    assert whole == b"".join(b"%d" % index * 6_000_000 for index in range(3))
    assert final.result.stdout.encode() == whole[: 8 * MIB]
    assert (final.result.stdout_kept_bytes, final.result.stdout_truncated) == (18_000_000, True)


@pytest.mark.parametrize("field", ["stdin", "lines", "items"])
def test_large_input_in_the_message_is_the_same_task_as_by_reference(
    large: Stack, api_client: api_grpc.SchedulerStub, field: str
) -> None:
    lines = [json.dumps(f"{field} {number}") for number in range(300_000)]
    content = "".join(f"{line}\n" for line in lines).encode()
    inline, by_blob = api.Task(task_id=f"same-{field}", data=COUNT), api.Task(task_id=f"same-{field}", data=COUNT)
    blob = upload(large, content)
    if field == "stdin":
        inline.stdin, by_blob.stdin_blob = content, blob["sha256"]
    else:
        by_blob.split.CopyFrom(api.Split(lines_blob=blob["sha256"], chunks=2, reduce=SUM))
        inline.split.CopyFrom(api.Split(chunks=2, reduce=SUM))
        if field == "lines":
            inline.split.lines = content
        else:
            inline.split.items.json.extend(lines)

    final, _ = finish(api_client, inline)

    assert final.result.stdout == "300000\n", final
    assert api_client.SubmitTask(api.SubmitTaskRequest(task=by_blob)).success


def test_the_command_line_uploads_what_is_large_and_gets_it_back(large: Stack, tmp_path: Path) -> None:
    source, task_id = tmp_path / "in", f"cli-{uuid.uuid4().hex}"
    source.write_bytes(noise(20 * MIB, seed=1))
    code = ECHO.removeprefix("python:")

    ran = taskandgo(large, "run", "-c", code, "--stdin", str(source), "--id", task_id)
    got = taskandgo(large, "get", task_id, "--output", str(tmp_path / "out"))
    shown = taskandgo(large, "get", task_id)

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert hashlib.sha256(ran.stdout).digest() == hashlib.sha256(source.read_bytes()).digest()
    assert (got.returncode, (tmp_path / "out").read_bytes() == source.read_bytes()) == (0, True)
    assert b"20.0 MiB of stdout are kept" in shown.stdout
    task = ["-c", "import sys; sys.stdout.write('x' * 5_000_000)", "--chunks", "2"]
    assert len(taskandgo(large, "run", *task).stdout) == 10_000_000
    lines = taskandgo(large, "run", "-c", COUNT.removeprefix("python:"), "--split-lines", str(source), "--chunks", "3")
    assert sum(map(int, lines.stdout.split())) == source.read_bytes().count(b"\n") + 1


def test_a_blob_that_is_not_there_is_refused_with_how_to_upload(
    large: Stack, api_client: api_grpc.SchedulerStub
) -> None:
    for task in (
        api.Task(data=COUNT, stdin_blob="0" * 64),
        api.Task(data=COUNT, split=api.Split(lines_blob="0" * 64)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            api_client.SubmitTask(api.SubmitTaskRequest(task=task))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "upload it with PutBlob" in caught.value.details()
    with pytest.raises(grpc.RpcError, match="64 characters"):
        api_client.SubmitTask(api.SubmitTaskRequest(task=api.Task(data=COUNT, stdin_blob="x" * 64)))


@pytest.mark.parametrize(("size", "said"), [(0, "is empty"), (LARGE + 1, f"larger than {LARGE} bytes")])
def test_an_upload_of_nothing_or_too_much_is_refused(large: Stack, size: int, said: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        upload(large, bytes(size))
    with caught.value as answer:
        assert answer.code == 400
        assert said in answer.read().decode()


def test_output_of_a_task_that_runs_or_is_unknown_is_refused(large: Stack, api_client: api_grpc.SchedulerStub) -> None:
    task = api.Task(task_id="runs-on", data="python:import time; time.sleep(60)")
    api_client.SubmitTask(api.SubmitTaskRequest(task=task))
    for task_id, code in (("runs-on", 409), ("unknown", 404)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{large.http_address}/tasks/{task_id}/stdout", timeout=10)
        with caught.value as answer:
            assert answer.code == code
    api_client.CancelTask(api.CancelTaskRequest(task_id="runs-on"))
