"""Runs many jobs in one process, and shows whether anything grows: python -m tests.sandbox.endurance --runs 100000

Of forty runs one raises, and one each has children, daemons, a timeout, too much memory and too much output.
Printed every quarter: memory of runner and zygotes, descriptors, mounts, cgroups, processes.
"""

import argparse
import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from services.runner.sandbox.box import BoxJob
from services.runner.sandbox.sandbox import Sandbox, open_sandbox
from tests.sandbox.boxes import LEVELS, MIB, job, plan

KINDS = [
    job("raise ValueError('x')"),
    job("import subprocess; subprocess.run(['true'])"),
    job("import os, time\nfor _ in range(5):\n if os.fork() == 0: os.setsid(); time.sleep(60)"),
    job("import time; time.sleep(60)", timeout_seconds=0.05),
    job("a = b'x' * (200 << 20)"),
    job("while True: print('x' * 9999)", output_bytes=MIB),
    job("open('a', 'wb').write(bytes(1 << 20)); print(1)"),
]
WELL = job("print('hello')", stdin=b"in")
CYCLE = 40
QUARTERS = 4


def kind(number: int) -> BoxJob:
    """The job of a run."""
    place = number % CYCLE
    return KINDS[place // 5] if place % 5 == 0 and place // 5 < len(KINDS) else WELL


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def resident_mib(pid: int) -> float:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def mounts(pid: int | str) -> int:
    """How many mounts a process sees."""
    return len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


def cgroups() -> str:
    """What the kernel counts of memory cgroups, those that are dying included, and directories of ours."""
    lines = Path("/proc/cgroups").read_text().splitlines()
    counted = [line.split()[2] for line in lines if line.startswith("memory")]
    ours = Path("/sys/fs/cgroup").glob(f"**/taskandgo/endurance-{os.getpid()}-*/box-*")
    return f"{(counted or ['?'])[0]}/{sum(1 for _ in ours)}"


def zygotes() -> list[int]:
    """Each seat's process and the one below it that makes boxes."""
    ours = [int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return [*ours, *(below[0] for each in ours if (below := descendants(each)[:1]))]


async def show(sandbox: Sandbox, done: int, seconds: float) -> None:
    """A line of what there is now."""
    while making := sandbox._boxes._making:
        await asyncio.gather(*making)
    makers = zygotes()
    columns = (
        f"{done:>7} runs",
        f"{done / seconds if seconds else 0:7.1f}/s",
        f"runner {resident_mib(os.getpid()):6.1f} MiB",
        f"zygotes {sum(map(resident_mib, makers)):6.1f} MiB",
        f"fds {_descriptors('self')} and {'+'.join(_descriptors(each) for each in makers)}",
        f"mounts {mounts('self')} and {'+'.join(str(mounts(each)) for each in makers)}",
        f"cgroups {cgroups()}",
        f"processes {len(descendants(os.getpid()))}",
    )
    print(" | ".join(columns), flush=True)  # noqa: T201


def _descriptors(pid: int | str) -> str:
    try:
        return str(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))
    except PermissionError:
        return "?"


async def work(sandbox: Sandbox, numbers: Iterator[int], ends: Counter[str]) -> None:
    """One slot's runs."""
    for number in numbers:
        end = await sandbox.run(kind(number))
        ends[f"{end.ended_by} {end.exit_code}"] += 1


async def run(level: str, runs: int, slots: int) -> None:
    """All runs, `slots` at a time."""
    async with open_sandbox(plan(level, slots, name="endurance")) as sandbox:
        await show(sandbox, 0, 0)
        ends: Counter[str] = Counter()
        started = time.monotonic()
        for quarter in range(QUARTERS):
            done = runs * (quarter + 1) // QUARTERS
            numbers = iter(range(runs * quarter // QUARTERS, done))
            await asyncio.gather(*(work(sandbox, numbers, ends) for _ in range(slots)))
            await show(sandbox, done, time.monotonic() - started)
        print(dict(ends))  # noqa: T201


def main() -> None:
    """Take the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--level", choices=LEVELS, default="strict")
    asyncio.run(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
