"""What the runner can be told, by environment variables of the fields' names."""

import os
import socket
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from taskandgo.settings import BrokerSettings, LogSettings, OptionalListenAddress, Settings

MIB = 1024 * 1024


def _interpreter() -> str:
    """The interpreter that this one's virtual environment was made from."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


class LimitSettings(Settings):
    """What a task may use when it says nothing, and at the most: what it asks beyond is cut to that."""

    runner_default_timeout_seconds: float = Field(
        60.0, gt=0, le=86_000, description="timeout of a task that names none"
    )
    runner_max_timeout_seconds: float = Field(3600.0, gt=0, le=86_000, description="longest timeout that is granted")
    runner_default_cpu_seconds: float = Field(
        60.0, gt=0, le=864_000, description="CPU time, of all its processes, of a task that names none"
    )
    runner_max_cpu_seconds: float = Field(3600.0, gt=0, le=864_000, description="most CPU time that is granted")
    runner_default_memory_bytes: int = Field(
        512 * MIB, ge=16 * MIB, description="memory, of all its processes, of a task that names none"
    )
    runner_max_memory_bytes: int = Field(4096 * MIB, ge=16 * MIB, description="most memory that is granted")
    runner_default_processes: int = Field(
        64, ge=1, le=32_768, description="processes and threads of a task that names none"
    )
    runner_max_processes: int = Field(1024, ge=1, le=32_768, description="most processes that are granted")
    runner_default_open_files: int = Field(
        256, ge=16, le=65_536, description="open files, of each process, of a task that names none"
    )
    runner_max_open_files: int = Field(4096, ge=16, le=65_536, description="most open files that are granted")
    runner_default_disk_bytes: int = Field(
        256 * MIB, ge=MIB, description="size of the temp directory, which lies in memory, of a task that names none"
    )
    runner_max_disk_bytes: int = Field(2048 * MIB, ge=MIB, description="largest temp directory that is granted")
    runner_default_output_bytes: int = Field(
        64 * MIB, ge=1024, description="bytes of output after which a task that names no limit is ended"
    )
    runner_max_output_bytes: int = Field(1024 * MIB, ge=1024, description="most output that is granted")


class RunnerSettings(LimitSettings, BrokerSettings, LogSettings):
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
    runner_http_listen: OptionalListenAddress = Field(
        "127.0.0.1:8083", description="host:port for /livez, /readyz and /metrics; empty: none"
    )
    runner_compile_timeout_seconds: float = Field(60.0, gt=0, le=3600, description="longest time a compiler may take")
    runner_compile_memory_bytes: int = Field(
        1024 * MIB, ge=64 * MIB, description="memory that a compiler may use, apart from what its program may"
    )
    runner_output_keep_bytes: int = Field(
        MIB,
        ge=1024,
        le=64 * MIB,
        description="bytes of each output stream kept; above 7 MiB only where BLOB_SECRET is set",
    )
    runner_blob_patience_seconds: float = Field(
        60.0, ge=0, le=3600, description="how long to try again for large input and output while ingest is away"
    )
    runner_drain_seconds: float = Field(30.0, ge=0, description="how long running chunks may finish after SIGTERM")
    runner_pod: str = Field(
        "",
        pattern=r"^[a-z0-9.-]{0,253}$",
        description="pod of this runner, to be scaled down last while it works long; empty: Kubernetes is not told",
    )
    runner_heartbeat_seconds: float = Field(2.0, gt=0, le=300, description="time between two heartbeats")
    runner_isolation: Literal["strict", "restricted"] = Field(
        "strict",
        description="how code is confined: strict, or restricted where a container may not make namespaces",
    )
    runner_sandbox_uid: int = Field(
        65534, ge=1, le=2**31, description="user and group that code runs as when the runner itself is root"
    )
    runner_python: str = Field(
        default_factory=_interpreter,
        description="interpreter that runs Python code, with its packages; default: the one this service uses",
    )
    runner_python_preload: str = Field(
        "", pattern=r"^[\w.]*(,[\w.]+)*$", description="modules of that interpreter kept warm, as in json,numpy"
    )
    runner_go_cache: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "taskandgo" / "go",
        description="folder for Go's standard library, compiled once a toolchain",
    )
    runner_go_programs_bytes: int = Field(
        256 * MIB, ge=0, description="memory for compiled Go programs, so that the same code is not compiled again"
    )
