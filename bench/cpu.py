"""How much CPU time the processes of a stack have used: told by the kernel, and little moved by what else runs."""

import os
from pathlib import Path

from tests.e2e.stack import Stack

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(stack: Stack) -> float:
    """CPU seconds of the services' own processes so far; code that they run is not in it."""
    return sum(_ticks(process.pid) for process in stack.processes.values()) / TICKS_A_SECOND


def _ticks(pid: int) -> int:
    # After the name in parentheses, which may hold anything: user time is the 12th field, system time the 13th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
