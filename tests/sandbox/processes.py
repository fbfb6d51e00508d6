"""Processes that do something on being told to: what boxes hold in the tests of their limits and accounts."""

import asyncio
import sys
import textwrap
from asyncio.subprocess import PIPE, Process

#: In the place of a pid namespace's first process: orphans below it become its children.
ADOPT = "import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)"
VERBS = """
def say(word):
    os.write(1, f"{word}\\n".encode())
def burn(seconds):
    while time.process_time() < seconds: pass
"""


async def start(code: str, entries: tuple[int, ...] = ()) -> Process:
    """A process that joins the cgroups that the entries lead to, and runs the code once it is told to.

    It answers in lines.
    """
    joins = f"import os, signal, sys, time\nfor entry in {entries}: os.write(entry, b'0'); os.close(entry)\n"
    waits = f"{joins}{ADOPT}\n{VERBS}\nsys.stdin.readline()\n{textwrap.dedent(code)}"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", waits), stdin=PIPE, stdout=PIPE, pass_fds=entries
    )


async def tell(process: Process) -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    await process.stdin.drain()


async def answer(process: Process) -> str:
    """The next line that it writes."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()
