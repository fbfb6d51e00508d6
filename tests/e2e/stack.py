"""The product as its users start it: `taskandgo up`, or four processes over a RabbitMQ and a PostgreSQL.

Or one that runs already: E2E_HOST says where, as in `E2E_HOST=127.0.0.1 pytest tests/e2e`; tests that start and stop
services are left out then, and where E2E_LEVEL is `restricted`, those marked `strict` are too. Its runners have to keep
64 MiB of output: RUNNER_OUTPUT_KEEP_BYTES=67108864.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from taskandgo.api import scheduler_pb2_grpc as api_grpc

START_SECONDS = 60.0
STOP_SECONDS = 30.0
SERVICES = ("ingest", "dispatcher", "monitor", "runner")
#: The host of an installation that runs already, with its services at their usual ports; empty: tests start their own.
INSTALLATION = os.environ.get("E2E_HOST", "")
#: The isolation level of its runners.
LEVEL = os.environ.get("E2E_LEVEL", "strict")
#: What `running` is asked for, in turn.
SHAPES = ("installation",) if INSTALLATION else ("up", "services")


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Stack:
    """A running product and where to reach it."""

    kind: str
    folder: Path
    env: dict[str, str]
    grpc_address: str
    http_address: str
    metrics_address: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, **env: str) -> None:
        """Start a `taskandgo` command in the background; its log goes to a file of its name.

        Many of a service have names like `runner-2`; `env` is for this one alone.
        """
        log = (self.folder / f"{name}.log").open("ab")
        command = [sys.executable, "-m", "services.cli.main", name.partition("-")[0], *arguments]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **self.env, **env}
        with log:
            self.processes[name] = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=self.folder)

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        process = self.processes.pop(name)
        process.send_signal(how)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def log(self) -> str:
        """What all processes logged, for a failing test."""
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(self.folder.glob("*.log")))

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """A gRPC channel that is connected."""
        options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        with grpc.insecure_channel(self.grpc_address, options) as channel:
            try:
                grpc.channel_ready_future(channel).result(START_SECONDS)
            except grpc.FutureTimeoutError as error:
                raise AssertionError(f"ingest does not answer:\n{self.log()}") from error
            yield channel

    @contextmanager
    def client(self) -> Iterator[api_grpc.SchedulerStub]:
        """A client of the API."""
        with self.channel() as channel:
            yield api_grpc.SchedulerStub(channel)


def _blobs() -> dict[str, str]:
    """What the four processes have to be told about blobs; embedded they find it out among themselves."""
    address = f"127.0.0.1:{free_port()}"
    return {
        "BLOB_SECRET": "a secret of tests, 32 characters or more",
        "INGEST_BLOB_LISTEN": address,
        "DISPATCHER_BLOB_URL": f"http://{address}",
    }


@contextmanager
def running(kind: str, folder: Path, env: dict[str, str], services: Sequence[str] = SERVICES) -> Iterator[Stack]:
    """`kind` is one of SHAPES; `services` says which; everything that was started is stopped when the context ends."""
    if kind == "installation":
        yield Stack(kind, folder, {}, *(f"{INSTALLATION}:{port}" for port in (50051, 8080, 8081)))
        return
    grpc_port, http_port, metrics_port = free_port(), free_port(), free_port()
    stack = Stack(
        kind=kind,
        folder=folder,
        env={
            "INGEST_GRPC_LISTEN": f"127.0.0.1:{grpc_port}",
            "INGEST_HTTP_LISTEN": f"127.0.0.1:{http_port}",
            "MONITOR_HTTP_LISTEN": f"127.0.0.1:{metrics_port}",
            "MONITOR_INGEST_GRPC": f"127.0.0.1:{grpc_port}",
            "DISPATCHER_HTTP_LISTEN": "",
            "RUNNER_HTTP_LISTEN": "",
            "RUNNER_SLOTS": "2",
            **(_blobs() if kind == "services" else {}),
            **env,
        },
        grpc_address=f"127.0.0.1:{grpc_port}",
        http_address=f"127.0.0.1:{http_port}",
        metrics_address=f"127.0.0.1:{metrics_port}",
    )
    with ExitStack() as stops:
        stops.callback(lambda: [stack.stop(name) for name in list(stack.processes)])
        if kind == "up":
            stack.start("up", "--data", str(folder / "taskandgo.db"))
        else:
            for name in services:
                stack.start(name)
        with stack.channel():
            pass
        yield stack
