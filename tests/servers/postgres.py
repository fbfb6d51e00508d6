"""A PostgreSQL of the tests' own: through Docker where it answers, else a cluster of the Debian package."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
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
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError(MISSING)
    programs = found[-1].parent
    with tempfile.TemporaryDirectory(prefix="taskandgo-postgres-") as folder:
        data, port = Path(folder) / "data", _free_port()
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        _run(folder, programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-N")
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        log = Path(folder) / "log"
        _run(folder, programs / "pg_ctl", "-D", data, "-w", "-l", log, "-o", settings, "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run(folder, programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


def _run(folder: str, *command: object) -> None:
    # The server refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    words = [*prefix, *map(str, command)]
    subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
