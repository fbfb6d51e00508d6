"""The services as processes, several of each, and a supervisor that starts again whatever has ended.

Promises: each process has a way to the broker and one to the store of its own, so that one alone can be cut off;
what ended is started again after a second, as a machine's service supervisor does; all are gone with the context.
"""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.proxy import Proxy
from tests.e2e.stack import free_port

ROOT = Path(__file__).parents[2]
RESTART_SECONDS = 1.0
START_SECONDS = 90.0
STOP_SECONDS = 45.0
SERVICES = ("ingest", "dispatcher", "runner", "monitor")


@dataclass(eq=False)
class Member:
    """One process of a service, whichever incarnation it is in."""

    name: str
    env: dict[str, str]
    folder: Path
    broker: Proxy
    store: Proxy
    process: Process | None = None
    wanted: bool = True
    #: For its next start only.
    once: dict[str, str] = field(default_factory=dict)
    started: int = 0
    exits: Counter[int] = field(default_factory=Counter)
    supervising: asyncio.Task[None] | None = None

    @property
    def service(self) -> str:
        """Which service it is."""
        return self.name.partition("-")[0]

    @property
    def log(self) -> Path:
        """What all its incarnations logged."""
        return self.folder / f"{self.name}.log"

    @property
    def clock_offset(self) -> Path:
        """By how many seconds its clock is off."""
        return self.folder / f"{self.name}.clock"

    @property
    def starts(self) -> int:
        """How many incarnations said that they are at work."""
        return self.log.read_text().count(f'"{self.service}.started"') if self.log.exists() else 0

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.process and self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def supervise(self) -> None:
        """Start it, and again whenever it has ended, while it is wanted."""
        while self.wanted:
            await self._start()
            assert self.process
            self.exits[await self.process.wait()] += 1
            if self.wanted:
                await asyncio.sleep(RESTART_SECONDS)

    async def stop(self) -> int:
        """End it kindly, and for good; its exit code."""
        self.wanted = False
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if not self.process:
            return 0
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self.process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            return await self.process.wait()

    async def restart(self, **once: str) -> int:
        """End it kindly and start it again at once, with `once` in its environment; its exit code."""
        code = await self.stop()
        if self.supervising:
            await self.supervising
        self.wanted, self.once = True, once
        self.supervising = asyncio.get_running_loop().create_task(self.supervise())
        return code

    async def _start(self) -> None:
        env, self.once = {**self.env, **self.once}, {}
        self.started += 1
        with self.log.open("ab") as log:
            command = (sys.executable, "-m", "services.cli.main", self.service)
            self.process = await asyncio.create_subprocess_exec(
                *command, env=env, stdout=log, stderr=log, cwd=self.folder
            )


@dataclass(eq=False)
class Fleet:
    """All processes."""

    folder: Path
    members: dict[str, Member] = field(default_factory=dict)

    async def started(self) -> None:
        """Return when every process has said that it is at work."""
        async with asyncio.timeout(START_SECONDS):
            for member in self.members.values():
                while not member.starts:
                    await asyncio.sleep(0.1)

    def of(self, *services: str) -> list[Member]:
        """The processes of these services."""
        return [one for one in self.members.values() if one.service in services]

    @property
    def grpc_addresses(self) -> list[str]:
        """Where the ingests listen."""
        return [one.env["INGEST_GRPC_LISTEN"] for one in self.of("ingest")]


@asynccontextmanager
async def running_fleet(
    folder: Path, broker_url: str, store_url: str, counts: Mapping[str, int], env: Mapping[str, str]
) -> AsyncIterator[Fleet]:
    """Start so many of each service; `env` holds for all of them."""
    fleet = Fleet(folder)
    blob_ports = [free_port() for _ in range(counts.get("ingest", 1))]
    async with AsyncExitStack() as stack:
        for service, count in counts.items():
            for number in range(1, count + 1):
                ways = [Proxy([_port(url)]) for url in (broker_url, store_url)]
                for way in ways:
                    await stack.enter_async_context(way.running())
                own = _environment(service, number, blob_ports) | {
                    "BROKER_URL": _through(broker_url, ways[0]),
                    "STORE_URL": _through(store_url, ways[1]),
                    "CLOCK_OFFSET_FILE": str(folder / f"{service}-{number}.clock"),
                    "TMPDIR": str(stack.enter_context(_small_disk(folder / f"{service}-{number}.tmp"))),
                }
                member = Member(f"{service}-{number}", {**_inherited(), **own, **env}, folder, *ways)
                member.clock_offset.write_text("0")
                fleet.members[member.name] = member
        stack.push_async_callback(_stop_all, fleet)
        for member in fleet.members.values():
            member.supervising = asyncio.get_running_loop().create_task(member.supervise())
        yield fleet


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A folder that can be filled up: a small one in memory, where that is allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=1777", "tmpfs", folder]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


async def _stop_all(fleet: Fleet) -> None:
    for services in (("ingest",), ("runner",), ("dispatcher", "monitor")):
        await asyncio.gather(*(one.stop() for one in fleet.of(*services)))
    await asyncio.gather(*(one.supervising for one in fleet.members.values() if one.supervising))


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def _through(url: str, way: Proxy) -> str:
    return url.replace(f":{_port(url)}", f":{way.port}")


def _inherited() -> dict[str, str]:
    path = os.pathsep.join((str(Path(__file__).parent / "in_services"), str(ROOT)))
    return {**os.environ, "PYTHONPATH": path}


def _environment(service: str, number: int, blob_ports: list[int]) -> dict[str, str]:
    blobs = f"127.0.0.1:{blob_ports[(number - 1) % len(blob_ports)]}"
    own = {
        "ingest": {
            "INGEST_GRPC_LISTEN": f"127.0.0.1:{free_port()}",
            "INGEST_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
            "INGEST_BLOB_LISTEN": blobs,
        },
        "dispatcher": {"DISPATCHER_HTTP_LISTEN": "", "DISPATCHER_BLOB_URL": f"http://{blobs}"},
        "runner": {"RUNNER_HTTP_LISTEN": "", "RUNNER_SLOTS": "2", "RUNNER_NAME": f"runner-{number}"},
        "monitor": {"MONITOR_HTTP_LISTEN": f"127.0.0.1:{free_port()}"},
    }
    return {"BLOB_SECRET": "a secret of tests, 32 characters or more", "LOG_FORMAT": "json", **own[service]}
