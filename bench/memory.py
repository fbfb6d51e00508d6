"""How much memory the processes of a stack hold."""

from pathlib import Path

from tests.e2e.stack import Stack


def resident_bytes(stack: Stack) -> dict[str, int]:
    """The resident memory of each service's own process, by name; code that it runs is not in it."""
    return {name: _resident(process.pid) for name, process in stack.processes.items()}


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
