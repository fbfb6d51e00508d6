"""What the runner can be told, by environment variables of the fields' names."""

import os
import socket
import sys
from pathlib import Path

from pydantic import Field

from taskandgo.settings import BrokerSettings, LogSettings

MIB = 1024 * 1024


def _interpreter() -> str:
    """The interpreter that this one's virtual environment was made from."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


class RunnerSettings(BrokerSettings, LogSettings):
    """The runner's settings."""

    runner_slots: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=1024,
        description="chunks run at the same time; default: the number of processors",
    )
    runner_pool: str = Field(
        "default", pattern=r"^[a-z][a-z0-9-]{0,62}$", description="the pool whose chunks are taken"
    )
    runner_name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        min_length=1,
        max_length=128,
        description="name of this runner; default: host name and process id",
    )
    runner_http_listen: str = Field(
        "127.0.0.1:8083", description="host:port for /livez, /readyz and /metrics; empty: none"
    )
    runner_default_timeout_seconds: float = Field(
        60.0, gt=0, le=86_000, description="timeout of a task that names none"
    )
    runner_max_timeout_seconds: float = Field(3600.0, gt=0, le=86_000, description="longest timeout that is granted")
    runner_compile_timeout_seconds: float = Field(60.0, gt=0, le=3600, description="longest time a compiler may take")
    runner_output_keep_bytes: int = Field(MIB, ge=1024, le=8 * MIB, description="bytes of each output stream kept")
    runner_output_limit_bytes: int = Field(
        64 * MIB, ge=1024, description="bytes of output after which a chunk is killed (output_limit)"
    )
    runner_work_bytes: int = Field(256 * MIB, ge=MIB, description="size of a chunk's temp directory, in bytes")
    runner_drain_seconds: float = Field(30.0, ge=0, description="how long running chunks may finish after SIGTERM")
    runner_heartbeat_seconds: float = Field(5.0, gt=0, le=300, description="time between two heartbeats")
    runner_python: str = Field(
        default_factory=_interpreter,
        description="interpreter that runs Python code; default: the one this service uses",
    )
    runner_go_cache: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "taskandgo" / "go",
        description="folder for Go's standard library, compiled once a toolchain",
    )
