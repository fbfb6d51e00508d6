"""The command line as people call it: in a process of its own, against a real `taskandgo up`."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "services.cli.main")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """Calls `taskandgo` for a server."""

    server: str

    async def __call__(self, *words: str, stdin: bytes = b"") -> Ended:
        """Call it with these words, and wait for its end."""
        process = await start(*words, server=self.server)
        out, err = await process.communicate(stdin)
        return Ended(process.returncode or 0, out.decode(), err.decode())


async def start(*words: str, server: str = "") -> Process:
    """Start `taskandgo` with these words."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TASKANDGO_SERVER": server, "LOG_LEVEL": "error"}
    return await asyncio.create_subprocess_exec(*COMMAND, *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment)


@asynccontextmanager
async def up(data: Path) -> AsyncIterator[str]:
    """The gRPC address of a `taskandgo up`, which has to end well with the context."""
    any_port = [word for option in ("--grpc", "--http", "--metrics") for word in (option, "127.0.0.1:0")]
    process = await start("up", "--data", str(data), *any_port)
    assert process.stdout is not None
    seen = b""
    while not (found := re.search(rb"gRPC +(\S+)", seen)):
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert line, (await process.communicate())[1].decode()
        seen += line
    yield found[1].decode()
    process.send_signal(signal.SIGTERM)
    _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
