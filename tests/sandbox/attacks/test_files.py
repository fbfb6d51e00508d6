"""Reading, writing and planting files: nothing but the own working directory can be touched, and nothing of it stays."""

import hashlib
import os
import sys
from pathlib import Path

from tests.sandbox.attacks.attacked import Attacked
from tests.sandbox.attacks.conftest import CANARY_VARIABLE
from tests.sandbox.boxes import interpreter

PRODUCT = Path(__file__).parents[3]
SECRETS = (
    "/etc/shadow",
    "/etc/hostname",
    "/etc/environment",
    "/root/.bashrc",
    "/proc/1/environ",
    "/proc/self/environ",
    "/proc/self/maps",
    "/proc/self/mem",
    "/proc/self/cgroup",
    "/proc/version",
    "/proc/net/unix",
    "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/memory/tasks",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/var/log/dpkg.log",
    str(PRODUCT / "pyproject.toml"),
    str(PRODUCT / "services/runner/settings.py"),
    "/dev/mem",
    "/dev/kmsg",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/vda",
    "/dev/fuse",
    "/dev/kvm",
    "/dev/userfaultfd",
)
FOREIGN = ("/", "/usr", "/usr/bin", "/usr/lib/python3", "/etc", "/dev", "/bin", "/lib")


async def test_no_secret_can_be_opened(box: Attacked) -> None:
    ways = (
        "open({path!r}).read(10)",
        "open({path!r}, 'rb+')",
        "os.open({path!r}, os.O_WRONLY | os.O_APPEND)",
        "os.listdir({path!r})",
        "os.truncate({path!r}, 0)",
        "os.unlink({path!r})",
        "os.rename({path!r}, 'mine')",
        "os.link({path!r}, 'mine')",
        "open('/usr/..{path}').read(10)",
    )
    await box.refuses(*[way.format(path=path) for path in SECRETS for way in ways])


async def test_a_symbolic_link_opens_nothing_more(strict: Attacked) -> None:
    before = "import os\nfor n, p in enumerate(('/etc/shadow', '/proc/self', '/var', '/sys')): os.symlink(p, f'l{n}')"
    await strict.refuses(*[f"os.listdir('l{n}/') or open('l{n}')" for n in range(4)], "open('l0')", before=before)


async def test_the_tree_is_the_documented_one(strict: Attacked) -> None:
    own = Path(interpreter()).parts[1]
    seen = set((await strict.says("import os; print(' '.join(os.listdir('/')))")).split())
    assert seen <= {"bin", "box", "dev", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "tmp", "usr", "work", own}
    assert await strict.says("import os; print(sorted(os.listdir('/dev')), os.listdir('/box'))") == (
        "['full', 'null', 'random', 'shm', 'urandom', 'zero'] []"
    )
    assert set((await strict.says("import os; print(*os.listdir('/etc'))")).split()) <= {
        "alternatives",
        "group",
        "ld.so.cache",
        "passwd",
    }


async def test_the_container_can_not_be_listed(restricted: Attacked) -> None:
    await restricted.refuses(*[f"os.listdir({path!r})" for path in ("/", "/etc", "/proc", "/tmp", "/root", "/home")])


async def test_this_product_is_not_there(box: Attacked) -> None:
    await box.refuses("__import__('services')", "__import__('taskandgo')", f"os.listdir({str(PRODUCT / 'services')!r})")


async def test_nothing_foreign_can_be_written(box: Attacked) -> None:
    stdlib = str(Path(os.__file__).parent)
    folders = (*FOREIGN, stdlib, f"{stdlib}/__pycache__")
    before = digest(stdlib)
    await box.refuses(
        *[f"open({folder + '/planted'!r}, 'w')" for folder in folders],
        *[f"os.mkdir({folder + '/planted'!r})" for folder in folders],
        *[f"os.symlink('/', {folder + '/planted'!r})" for folder in folders],
        *[f"os.chmod({folder!r}, 0o777)" for folder in folders],
        *[f"os.utime({folder!r})" for folder in folders],
        f"open({os.__file__!r}, 'r+')",
        f"open({sys.executable!r}, 'r+b')",
        "os.setxattr('/usr/bin/env', 'user.a', b'1')",
        "os.rename('/etc/passwd', '/etc/shadow')",
    )
    assert digest(stdlib) == before


def digest(folder: str) -> str:
    """Of names, sizes and times of what is in a folder."""
    stats = sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in os.scandir(folder))
    return hashlib.sha256(repr(stats).encode()).hexdigest()


async def test_only_the_standard_streams_are_open(box: Attacked) -> None:
    code = "import os\nfor fd in range(65536):\n try: os.fstat(fd); print(fd)\n except OSError: pass"
    assert (await box.says(code)).split() == ["0", "1", "2"]


async def test_no_descriptor_leads_out(box: Attacked) -> None:
    await box.refuses(
        *[f"os.open('..', os.O_RDONLY, dir_fd={fd})" for fd in range(16)],
        *[f"os.open('etc/shadow', os.O_RDONLY, dir_fd={fd})" for fd in range(16)],
        *[f"os.fchdir({fd})" for fd in range(16)],
        *[f"call('landlock_restrict_self', {fd}, 0)" for fd in range(16)],
        "os.write(0, b'x')",
        "os.ftruncate(0, 0)",
        stdin=b"sealed",
    )


async def test_the_given_input_cannot_be_changed(box: Attacked) -> None:
    given = b"given"
    await box.refuses(
        "os.pwrite(0, b'x', 0)",
        "os.ftruncate(0, 100)",
        "__import__('fcntl').fcntl(0, 1033, 0)",
        "__import__('mmap').mmap(0, 5).write(b'x')",
        "__import__('fcntl').fcntl(0, 1024, 1)",
        stdin=given,
    )


async def test_the_root_cannot_be_left(box: Attacked) -> None:
    await box.refuses(
        "os.chroot('.')",
        "call('pivot_root', b'.', b'.')",
        "os.chdir('/proc/1/root')",
        "open('/../../../../etc/shadow')",
        "call('open_by_handle_at', -100, b'\\0' * 64, 0)",
        "call('name_to_handle_at', -100, b'/usr', b'\\0' * 64, b'\\0' * 8, 0)",
    )


async def test_no_file_carries_rights(strict: Attacked) -> None:
    before = "import os\nopen('a', 'w').close()"
    await strict.refuses(
        "os.chmod('a', 0o4755)",
        "os.chmod('a', 0o2755)",
        "os.fchmod(os.open('a', os.O_RDONLY), 0o6755)",
        "call('fchmodat', -100, b'a', 0o4755)",
        "call('fchmodat2', -100, b'a', 0o4755, 0)",
        "os.open('b', os.O_CREAT | os.O_WRONLY, 0o4755)",
        "call('openat2', -100, b'b', struct.pack('QQQ', os.O_CREAT, 0o4755, 0), 24)",
        "os.mknod('c', 0o60666, os.makedev(254, 0))",
        "os.mknod('c', 0o20666, os.makedev(1, 1))",
        "os.setxattr('a', 'security.capability', b'\\1\\0\\0\\2' + b'\\xff' * 16)",
        "os.chown('a', 0, 0)",
        "os.chown('a', 1, 1)",
        before=before,
    )


async def test_what_one_run_leaves_the_next_does_not_find(strict: Attacked) -> None:
    leave = (
        "import os\nfor d in ('/work', '/tmp', '/dev/shm'):\n"
        " open(d + '/left', 'w').write('x' * 1000); os.mkdir(d + '/.hidden'); os.chmod(d, 0)"
    )
    for _ in range(4):
        await strict.says(leave)
    look = "import os\nfor d in ('/work', '/tmp', '/dev/shm'): print(sorted(os.listdir(d)), oct(os.stat(d).st_mode))"
    assert (await strict.says(look)).splitlines() == ["['main.py'] 0o40755", "[] 0o40755", "[] 0o40755"]


async def test_nothing_can_be_written_at_all(restricted: Attacked) -> None:
    await restricted.refuses(
        *[f"open('{d}/a', 'w')" for d in (".", "/tmp", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue")],
        "os.mkdir('a')",
        "os.mkfifo('a')",
        "os.symlink('/', 'a')",
        "os.link('main.py', 'a')",
        "os.unlink('main.py')",
        "os.chmod('main.py', 0o777)",
        "os.utime('main.py')",
        "open('main.py', 'r+')",
        "os.truncate('main.py', 0)",
        "__import__('multiprocessing.shared_memory').shared_memory.SharedMemory(create=True, size=10)",
    )


async def test_neither_environment_nor_files_show_the_canary(box: Attacked, canary: str) -> None:
    code = (
        "import os, sys\nprint(dict(os.environ), sys.argv, sys.orig_argv)\n"
        f"print(os.environ.get({CANARY_VARIABLE!r}))\n"
        "for root in ('/', '/etc', '/run', '/var', '/tmp', '/home', '/root', '/work', '/opt', '/srv', '/mnt'):\n"
        " for folder, _, names in os.walk(root):\n"
        "  if folder.startswith(('/usr', '/lib')) or folder.count('/') > 6: continue\n"
        "  for name in names:\n   try: print(open(os.path.join(folder, name), errors='replace').read(200)) \n"
        "   except OSError: pass\n"
    )
    assert canary not in await box.says(code.replace("'/', ", ""))


async def test_files_of_the_system_can_be_locked_only_for_reading(strict: Attacked) -> None:
    # flock() is not stopped: see what boxes are not promised.
    await strict.refuses("__import__('fcntl').lockf(open('/usr/bin/env'), 2 | 4)")
