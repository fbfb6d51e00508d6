"""The attempts to get out of a box that a runner makes at every start: data.

Each is a small Python program. What it gets hold of that it never should, it puts into `got`; a refusal is an OSError,
and ends it. It holds when `got` stays empty. What it may use is listed in `probing.py`. Run outside of a box, as root,
every one of them gets something, and does no harm: a test sees to that.
"""

from dataclasses import dataclass

from services.runner.sandbox.inside.plan import RESTRICTED, STRICT

BOTH = (STRICT, RESTRICTED)


@dataclass(frozen=True, slots=True)
class Probe:
    """What code must not be able to do, and a program that tries."""

    name: str
    program: str
    levels: tuple[str, ...] = BOTH


PROBES = (
    Probe("read a file of the host", "got = open(canary).read()"),
    Probe(
        "look into the host's folders",
        """
for folder in ("/root", "/home", "/etc/ssl", "/var", "/run", "/sys", "/proc", "/boot", "/opt", product):
    got += beside(folder, shown)
""",
    ),
    Probe("find the product's code", "got = [name for name in product_packages if importlib.util.find_spec(name)]"),
    Probe("find an environment that is not its own", "got = sorted(set(os.environ) - set(given_env))"),
    Probe("hold a descriptor beyond 0, 1 and 2", "got = those(range(3, 1024), os.fstat)"),
    Probe(
        "reach a process outside",
        """
# 0 is this box's own group; a runner that is the first process of its container has no other parent
mine = {os.getpid(), 0, 1} if level == "strict" else {os.getpid(), 0}
got = those({runner, runner_parent, *range(1, 512)} - mine, lambda pid: os.kill(pid, 0))
""",
    ),
    Probe("see or change the limits of the runner", "got = resource.prlimit(runner, resource.RLIMIT_NOFILE)"),
    Probe("trace or read another process", "got = [name for name in ('ptrace', 'process_vm_readv') if reaches(name)]"),
    Probe("make namespaces", "got = [name for name in ('unshare', 'setns', 'clone3') if reaches(name)]"),
    Probe(
        "mount, or leave its root",
        """
for name in ("mount", "umount2", "pivot_root", "chroot", "fsopen", "open_tree", "move_mount"):
    if reaches(name):
        got.append(name)
""",
    ),
    Probe(
        "speak to a network",
        """
with socket.socket(socket.AF_INET) as client:
    client.settimeout(1)
    got = client.connect_ex(("127.0.0.1", port)) == 0 and "a connection"
""",
    ),
    Probe(
        "open a socket that is neither a pair nor unix",
        """
# netlink, packet, ALG, VSOCK, bluetooth, XDP
for family in (socket.AF_INET, socket.AF_INET6, 16, 17, 38, 40, 31, 44):
    with contextlib.suppress(OSError):
        socket.socket(family, socket.SOCK_RAW if family in (16, 17) else socket.SOCK_STREAM).close()
        got.append(f"family {family}")
""",
    ),
    Probe(
        "meet others through an abstract socket",
        """
with socket.socket(socket.AF_UNIX) as client:
    client.connect("\\0" + abstract)
    got = "a connection"
""",
    ),
    Probe(
        "write outside of its own folders",
        """
outside = ("/", "/usr", "/usr/lib", "/etc", "/dev", os.path.dirname(os.__file__), canary_folder)
for folder in outside if level == "strict" else (*outside, os.getcwd(), "/tmp", "/var/tmp", "/dev/shm"):
    with contextlib.suppress(OSError):
        path = f"{folder}/probe-{os.getpid()}"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.unlink(path)
        got.append(folder)
""",
    ),
    Probe(
        "make a device, or a file that changes who runs it",
        """
with contextlib.suppress(OSError):
    os.mknod("probe-device", 0o020600, os.makedev(1, 3))
    os.unlink("probe-device")
    got.append("a device")
with contextlib.suppress(OSError):
    os.close(os.open("probe-program", os.O_CREAT | os.O_WRONLY))
    os.chmod("probe-program", 0o4755)
    os.unlink("probe-program")
    got.append("a set-user-id program")
""",
    ),
    Probe("be root, or have a capability", "got = [*(['root'] * (os.getuid() == 0)), *capabilities()]"),
    Probe("run without a filter", "got = '' if prctl(21) == 2 and prctl(39) == 1 else 'no filter, or new privileges'"),
    Probe(
        "reach rarely used parts of the kernel",
        """
for name in (
    "bpf", "perf_event_open", "io_uring_setup", "userfaultfd", "keyctl", "add_key", "request_key", "fanotify_init",
    "open_by_handle_at", "memfd_create", "pidfd_getfd", "process_madvise", "kcmp", "init_module", "kexec_load",
    "swapon", "acct", "syslog", "quotactl", "reboot", "settimeofday", "mlockall", "shmget", "mq_open", "io_setup",
):
    if reaches(name):
        got.append(name)
""",
    ),
    Probe(
        "raise a limit",
        """
for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_DATA, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
    soft, hard = resource.getrlimit(kind)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (soft, hard + 1 if hard != resource.RLIM_INFINITY else hard))
        got.append(kind)
""",
    ),
    Probe(
        "reserve more memory than its limit",
        "got = len(mmap.mmap(-1, memory_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))",
    ),
    Probe(
        "have more room in its folders than its limit",
        """
for folder in (os.getcwd(), "/tmp", "/dev/shm"):
    room = os.statvfs(folder)
    if room.f_blocks * room.f_frsize > disk_bytes:
        got.append(folder)
""",
        (STRICT,),
    ),
    Probe("start a child or a program", "got = [name for name in ('fork', 'execve') if starts(name)]", (RESTRICTED,)),
)

#: What a first box leaves where the next one looks: in its folders, and running on with its output in hand.
LEAVING = """
import os, signal, time
for folder in (os.getcwd(), "/tmp", "/dev/shm"):
    try:
        open(f"{folder}/left", "w").close()
    except OSError:
        pass
try:
    if os.fork() == 0:
        os.setsid()
        for number in (1, 2, 15):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            time.sleep(3600)
        os._exit(0)
except OSError:
    pass
"""
#: What a second one finds of it.
FINDING = """
import os
for folder in (os.getcwd(), "/tmp", "/dev/shm"):
    try:
        if "left" in os.listdir(folder):
            print(folder)
    except OSError:
        pass
"""
