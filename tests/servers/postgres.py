"""A PostgreSQL of the tests' own: through Docker where it answers, else a cluster of the Debian package."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg

MISSING = "no Docker engine answers and PostgreSQL is not installed: apt-get install postgresql"


@contextmanager
def private_postgres() -> Iterator[str]:
    """The address of an empty database; server and data are gone when the context ends."""
    if _docker_answers():
        with _in_docker() as url:
            yield url
    else:
        with _cluster() as url:
            yield url


def fresh_database(url: str) -> str:
    """The address of an empty database on the server behind `url`: nobody else's tasks are there."""
    name = f"fresh_{uuid4().hex[:8]}"

    async def create() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    # In a thread of its own, since the tests' thread has an event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(create())).result()
    return f"{url.rpartition('/')[0]}/{name}"


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@contextmanager
def _in_docker() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - only where Docker is

    with PostgresContainer("postgres:17", driver=None) as container:
        yield container.get_connection_url()


@contextmanager
def _cluster() -> Iterator[str]:
    with private_cluster() as cluster:
        yield cluster.url


@contextmanager
def private_cluster() -> Iterator["PrivateCluster"]:
    """A server that the test may stop, kill and start again."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError(MISSING)
    with tempfile.TemporaryDirectory(prefix="taskandgo-postgres-") as folder:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        cluster = PrivateCluster(Path(folder), found[-1].parent, _free_port())
        cluster.make()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop("immediate")


@dataclass(frozen=True)
class PrivateCluster:
    """One server of the Debian package."""

    folder: Path
    programs: Path
    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        """Make its data directory."""
        _run(self.folder, self.programs / "initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "-N")

    def start(self) -> None:
        """Start it; return when it takes connections."""
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._control("-l", self.folder / "log", "-o", settings, "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it: `fast` ends its sessions first, `immediate` leaves the recovery to the next start."""
        if self._pid_file.exists():
            self._control("-m", how, "stop")

    def kill(self) -> None:
        """End every process of it at once, as a power cut does."""
        postmaster = int(self._pid_file.read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{postmaster}").exists():
            time.sleep(0.01)
        self._pid_file.unlink(missing_ok=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _control(self, *arguments: object) -> None:
        _run(self.folder, self.programs / "pg_ctl", "-D", self._data, "-w", *arguments)


def _run(folder: Path, *command: object) -> None:
    # The server refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    words = [*prefix, *map(str, command)]
    subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
