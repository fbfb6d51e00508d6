"""Disk and inodes: a run has its own small file system, and fills nothing else."""

import asyncio
import os

from services.runner.sandbox.box import EndedBy
from tests.sandbox.attacks.attacked import Attacked
from tests.sandbox.boxes import MIB

DISK = 4 * MIB
FULL = {
    "by writing": "with open('a', 'wb') as f:\n  while True: f.write(bytes(65536))",
    "in many files": "while True: n += 1; open(str(n), 'wb').write(bytes(65536))",
    "by allocation": "os.posix_fallocate(os.open('a', os.O_CREAT | os.O_RDWR), 0, 1 << 40)",
    "in shared memory": "f = open('/dev/shm/a', 'wb')\n while True: f.write(bytes(65536))",
    "in all folders": "while True:\n  for d in ('/tmp', '/work', '/dev/shm'): n += 1; open(f'{d}/{n}', 'wb').write(bytes(65536))",
    "through a mapping": (
        "import mmap\n f = open('a', 'w+b'); f.truncate(3 << 20); m = mmap.mmap(f.fileno(), 3 << 20); m.write(b'x' * (3 << 20))\n"
        " g = open('b', 'wb')\n while True: g.write(bytes(65536))"
    ),
    "by holes": "f = open('a', 'wb'); f.truncate(3 << 20)\n for n in range(10**6): os.pwrite(f.fileno(), b'x', n * 4096)",
    "with empty files": "while True: n += 1; open(str(n), 'w').close()",
    "with folders": "while True: n += 1; os.mkdir(str(n))",
    "with long names": "while True: n += 1; open(str(n).rjust(255, 'x'), 'w').close()",
    "with deep folders": "while True: os.mkdir('d'); os.chdir('d')",
    "with links": "open('a', 'w').close()\n while True: n += 1; os.link('a', str(n))",
    "with symbolic links": "while True: n += 1; os.symlink('x' * 4000, str(n))",
    "with pipes": "while True: n += 1; os.mkfifo(str(n))",
    "with sockets": "import socket\n while True: n += 1; socket.socket(socket.AF_UNIX).bind(str(n))",
    "with deleted files": "a = []\n while True: n += 1; a.append(open('a', 'wb')); os.unlink('a'); a[-1].write(bytes(1 << 18)); a[-1].flush()",
}


async def test_the_file_system_is_full_before_it_hurts(strict: Attacked) -> None:
    free = os.statvfs("/tmp").f_bavail * os.statvfs("/tmp").f_frsize
    codes = [f"import os\nn = 0\ntry:\n {full}\nexcept OSError as e: print(e.strerror)" for full in FULL.values()]
    said = await asyncio.gather(*(strict.says(code, disk_bytes=DISK, processes=8) for code in codes))
    assert set(said) <= {"No space left on device", "File too large", "Too many open files"}
    assert free - os.statvfs("/tmp").f_bavail * os.statvfs("/tmp").f_frsize < 64 * MIB


async def test_few_bytes_are_few_files_too(strict: Attacked) -> None:
    code = "import os\nn = 0\ntry:\n while True: n += 1; open(str(n), 'w').close()\nexcept OSError: print(n)"
    assert int(await strict.says(code, disk_bytes=8192)) <= 64


async def test_a_large_hole_takes_nothing(strict: Attacked) -> None:
    code = (
        "import os\nf = os.open('a', os.O_CREAT | os.O_RDWR)\nos.ftruncate(f, 16 << 20)\nprint(os.fstat(f).st_blocks)"
    )
    assert await strict.says(code) == "0"


async def test_what_is_written_counts_as_memory(strict: Attacked) -> None:
    code = "f = open('a', 'wb')\nwhile True: f.write(bytes(1 << 20))"
    end = await strict.end(code, disk_bytes=256 * MIB, memory_bytes=32 * MIB, timeout_seconds=10)
    if "cgroup" in strict.sandbox.metering and "no cgroups" not in strict.sandbox.metering:
        assert end.ended_by is EndedBy.MEMORY
    else:
        assert end.exit_code == 1


async def test_attributes_take_no_room(box: Attacked) -> None:
    before = "import os\ntry: open('a', 'w').close()\nexcept OSError: pass"
    await box.refuses(
        "os.setxattr('a', 'user.a', b'x' * 60000) or 1",
        "os.setxattr('main.py', 'user.a', b'x' * 60000) or 1",
        "os.setxattr('a', 'trusted.a', b'x') or 1",
        before=before,
    )
