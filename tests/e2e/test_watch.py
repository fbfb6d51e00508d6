"""`taskandgo watch` on a terminal, where a task of many chunks has a bar, and elsewhere, where it has lines."""

import asyncio
import os
import pty
import re
import subprocess

from tests.e2e.command_line import COMMAND, ROOT, CommandLine

SLEEPS = "import os, time; time.sleep(0.4); n = os.environ['CHUNK_INDEX']; print(n); raise SystemExit(n == '1')"


async def on_a_terminal(server: str, *words: str) -> str:
    """What the command shows on a terminal of 120 columns."""
    ours, its = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TASKANDGO_SERVER": server, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([*COMMAND, *words], stdin=its, stdout=its, stderr=its, env=environment)  # noqa: ASYNC220
    os.close(its)
    shown = await asyncio.to_thread(_read_all, ours)
    assert await asyncio.to_thread(process.wait) == 0, shown
    return shown


def _read_all(descriptor: int) -> str:
    shown = b""
    try:
        while block := os.read(descriptor, 65536):
            shown += block
    except OSError:
        # The other end is closed.
        pass
    os.close(descriptor)
    return shown.decode(errors="replace")


async def test_a_cut_task_has_a_bar_with_rate_and_time_left(cli: CommandLine, server: str) -> None:
    await cli("submit", "--id", "barred", "--chunks", "16", "-c", SLEEPS)

    shown = await on_a_terminal(server, "watch", "barred")

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"chunks \(\d+ running, 1 failed\) [━╸╺ ]+ *\d+/16 +\d+\.\d/s +0:00:\d\d +0:00:\d\d", plain), plain
    # A line for each state, not for each step; what the chunks wrote comes once the bar is gone.
    assert plain.count("barred running") <= 1
    assert plain.count("barred failed, 15 of 16 chunks succeeded, 1 failed: exited with code 1") == 1
    assert plain.rindex("15\r\n") > plain.rindex("/16")


async def test_without_a_terminal_each_step_is_a_line(cli: CommandLine) -> None:
    await cli("submit", "--id", "lined", "--chunks", "4", "-c", SLEEPS)

    watched = await cli("watch", "lined")

    assert watched.out.splitlines() == ["0", "1", "2", "3"]
    assert all(line.startswith("lined ") for line in watched.err.splitlines())
    assert watched.err.splitlines()[-1] == "lined failed, 3 of 4 chunks succeeded, 1 failed: exited with code 1"
