"""Memory and CPU time: each limit holds for all processes of a run together, and a neighbour does not feel it."""

import asyncio

import pytest

from services.runner.sandbox.box import EndedBy
from tests.sandbox.attacks.attacked import Attacked
from tests.sandbox.boxes import MIB

LIMIT = 64 * MIB
#: A run that does not get away with it: by an error of its own, or by being ended.
HUNGRY = {
    "at once": "bytearray(1 << 40)",
    "bit by bit": "a = []\nwhile True: a.append(bytearray(1 << 20))",
    "as one list": "a = [0]\nwhile True: a += a",
    "as text": "'a' * 10**9 * 10",
    "while compiling": "x = " + "'a' * 10**9 + " * 5 + "''",
    "privately mapped": "import mmap\nm = mmap.mmap(-1, 256 << 20, mmap.MAP_PRIVATE)\nwhile True: m.write(bytes(1 << 20))",
    "by stacks of threads": "import threading\nthreading.stack_size(64 << 20)\nwhile True: threading.Thread(target=input).start()",
}


async def test_memory_is_limited(box: Attacked) -> None:
    ends = await asyncio.gather(*(box.end(code, memory_bytes=LIMIT, timeout_seconds=10) for code in HUNGRY.values()))
    for how, end in zip(HUNGRY, ends, strict=True):
        assert end.ended_by is EndedBy.MEMORY or end.exit_code == 1, (how, end)
        assert end.peak_memory_bytes < 2 * LIMIT, (how, end)


#: Memory that the kernel counts for no single process.
TOGETHER = {
    "by children": "import os, time\nfor _ in range(16): os.fork() == 0 and (bytearray(b'x' * (32 << 20)), time.sleep(60))\ntime.sleep(60)",
    "shared": (
        "import mmap, time\nm = [mmap.mmap(-1, 64 << 20) for _ in range(8)]\n"
        "for a in m:\n for _ in range(64): a.write(b'x' * (1 << 20))\ntime.sleep(60)"
    ),
    "by who lost its parents": (
        "import os, time\nfor _ in range(16):\n if os.fork() == 0:\n  if os.fork() == 0:\n"
        "   time.sleep(0.3); a = b'x' * (32 << 20); time.sleep(60)\n  os._exit(0)\n os.wait()\ntime.sleep(60)"
    ),
}


@pytest.mark.parametrize("how", TOGETHER)
async def test_memory_of_all_processes_is_limited(how: str, strict: Attacked) -> None:
    neighbour = asyncio.create_task(strict.says("a = bytearray(16 << 20); import time; time.sleep(0.5); print(len(a))"))
    end = await strict.end(TOGETHER[how], memory_bytes=LIMIT, timeout_seconds=5)
    assert end.ended_by is EndedBy.MEMORY, end
    assert await neighbour == str(16 * MIB)


async def test_shared_memory_is_limited(restricted: Attacked) -> None:
    end = await restricted.end(TOGETHER["shared"], memory_bytes=LIMIT, timeout_seconds=5)
    assert end.ended_by is EndedBy.MEMORY, end


async def test_memory_can_be_neither_locked_nor_huge(box: Attacked) -> None:
    await box.refuses(
        "call('mlock', id(expression), 4096)",
        "call('mlock2', 4096, 4096, 0)",
        "call('mlockall', 3)",
        "call('mmap', 0, 2 << 20, 3, 0x40022, -1, 0)",
        "call('mmap', 0, 2 << 20, 3, 0x40022 | 1 << 40, -1, 0)",
        "call('userfaultfd', 0)",
        "call('memfd_create', b'a', 0)",
        "call('memfd_secret', 0)",
        "call('madvise', 4096, 4096, 12)",
        "call('madvise', 4096, 4096, 21)",
        "call('remap_file_pages', 0, 0, 0, 0, 0)",
        "call('pkey_alloc', 0, 0)",
        "call('mbind', 0, 0, 0, 0, 0, 0)",
        "call('set_mempolicy', 0, 0, 0)",
    )


async def test_limits_cannot_be_raised(box: Attacked) -> None:
    limits = ("CPU", "DATA", "NPROC", "NOFILE", "FSIZE", "CORE")
    await box.refuses(
        *[f"resource.setrlimit(resource.RLIMIT_{name}, (-1, -1)) or 1" for name in limits],
        *[
            f"resource.setrlimit(resource.RLIMIT_{name}, (resource.getrlimit(resource.RLIMIT_{name})[1] + 1,) * 2) or 1"
            for name in limits
        ],
        "call('prlimit64', 0, 0, struct.pack('QQ', 2**64 - 1, 2**64 - 1), 0)",
        "call('prlimit64', 1 << 32, 7, struct.pack('QQ', 2**20, 2**20), 0)",
        "os.nice(-5)",
    )


BUSY = {
    "alone": "while True: pass",
    "in a regular expression": "import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')",
    "in a power": "10 ** 10 ** 8",
    "in a sum": "sum(range(10 ** 12))",
    "in threads": "import threading\nfor _ in range(6): threading.Thread(target=lambda: sum(range(10**12))).start()",
}


@pytest.mark.parametrize("how", BUSY)
async def test_cpu_time_is_limited(how: str, box: Attacked) -> None:
    end = await box.end(BUSY[how], cpu_seconds=0.4, timeout_seconds=10)
    assert end.ended_by is EndedBy.CPU_TIME, end
    assert end.wall_seconds < 4
    assert 0.2 < end.cpu_seconds < 2


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(10**6)", "import threading; threading.Lock().acquire(); threading.Event().wait()"]
)
async def test_who_only_waits_is_ended_and_has_used_nothing(code: str, box: Attacked) -> None:
    end = await box.end(code, timeout_seconds=0.3)
    assert end.ended_by is EndedBy.TIMEOUT
    assert end.cpu_seconds < 0.3
    assert end.wall_seconds < 1.3
