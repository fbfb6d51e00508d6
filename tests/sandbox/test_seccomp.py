"""The filters on this kernel: real programs run, and attacks on other processes, the kernel and the network do not."""

import contextlib
import json
import os
import platform
import pty
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.runner.sandbox.inside.syscall_numbers import NUMBERS
from tests.sandbox.confined import NEEDED, PRELUDE, ROOT_USER, USERS, Confined
from tests.sandbox.ordinary_programs import BASH, GO, ORDINARY, WITH_CHILDREN
from tests.sandbox.syscall_attacks import ATTACKS, RESTRICTED_ATTACKS

SYSCALLS = PRELUDE.format(numbers=json.dumps(NUMBERS))
REFUSALS = {"EPERM", "ENOSYS", "ENOTSUP"}

pytestmark = NEEDED


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> int:
    """Root, whom only the guards hold back, and a user without rights."""
    return USERS[request.param]


@pytest.fixture
def folder(user: int) -> Iterator[Path]:
    """A folder of the user's own, on a path that the user can reach."""
    path = Path(subprocess.check_output(["mktemp", "-d", "/tmp/guards.XXXXXX"], text=True).strip())
    os.chown(path, user, user)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def strict(user: int, folder: Path) -> Confined:
    """The strict level's guards."""
    return Confined("strict", user, folder)


@pytest.fixture
def restricted(user: int, folder: Path) -> Confined:
    """The restricted level's guards."""
    return Confined("restricted", user, folder)


@pytest.fixture(params=["strict", "restricted"])
def confined(request: pytest.FixtureRequest, user: int, folder: Path) -> Confined:
    """Either level's guards."""
    return Confined(request.param, user, folder)


@pytest.mark.parametrize("program", ORDINARY)
def test_ordinary_programs_run(confined: Confined, program: str) -> None:
    assert confined.says(ORDINARY[program]) == "190"


@pytest.mark.parametrize("program", WITH_CHILDREN)
def test_programs_with_children_run_in_strict(strict: Confined, program: str) -> None:
    assert strict.says(WITH_CHILDREN[program]) == "190"


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_a_bash_script_runs_in_strict(strict: Confined) -> None:
    script = strict.folder / "main.sh"
    script.write_text(BASH)
    assert strict.says(argv=("/bin/bash", str(script))).split() == ["3", "1", "2", "3", "1", "1", "9216", "bye"]


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled Go program."""
    go = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    if not go:
        pytest.skip("no Go here")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO)
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOTOOLCHAIN": "local", "GOTELEMETRY": "off"}
    subprocess.run([go, "build", "-o", "main", "main.go"], cwd=folder, env=env, check=True, timeout=100)
    return folder / "main"


def test_a_go_program_runs_in_strict(strict: Confined, go_program: Path) -> None:
    program = shutil.copy(go_program, strict.folder)
    assert strict.says(argv=(program,)) == "190"


def made(attack: tuple[Any, ...]) -> list[Any]:
    """The attack on this test's process."""
    return [os.getpid() if part == "{parent}" else part for part in attack]


def test_attacks_are_refused(confined: Confined) -> None:
    attacks = {name: made(attack) for name, attack in ATTACKS.items() if attack[0] in NUMBERS}
    before = resource.getrlimit(resource.RLIMIT_NOFILE), os.getpriority(0, 0), os.sched_getaffinity(0)
    said = confined.says(f"{SYSCALLS}\nprint({{n: call(*a) for n, a in {attacks!r}.items()}})")
    answers: dict[str, str] = eval(said)
    assert set(answers) == set(attacks)
    assert {name: answer for name, answer in answers.items() if answer not in REFUSALS} == {}
    assert before == (resource.getrlimit(resource.RLIMIT_NOFILE), os.getpriority(0, 0), os.sched_getaffinity(0))
    assert sorted(path.name for path in confined.folder.iterdir()) == ["main.py"]


@pytest.mark.skipif(not ROOT_USER, reason="only root can do most of it")
def test_without_the_guards_root_could(folder: Path) -> None:
    """The attacks are real: what they ask for is there on this machine."""
    possible = ["unshare mount", "memfd", "shared memory", "a setuid file", "limits of the runner", "ptrace seize"]
    code = f"{SYSCALLS}\nprint({{n: call(*a) for n, a in { {n: made(ATTACKS[n]) for n in possible}!r}.items()}})"
    end = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=True)
    answers = eval(end.stdout)
    assert {name: answer for name, answer in answers.items() if answer in REFUSALS} == {}


def test_restricted_reaches_nobody_and_nothing(restricted: Confined) -> None:
    attacks = {name: made(attack) for name, attack in RESTRICTED_ATTACKS.items()}
    attacks["clock of the runner"][1] = (~os.getpid() << 3) | 2
    said = restricted.says(f"{SYSCALLS}\nprint({{n: call(*a) for n, a in {attacks!r}.items()}})")
    answers = eval(said)
    assert {name: answer for name, answer in answers.items() if answer not in REFUSALS} == {}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has other ways in")
def test_other_ways_into_the_kernel_kill(confined: Confined) -> None:
    int80 = "b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'"
    code = f"""
import ctypes, mmap
memory = mmap.mmap(-1, 4096, prot=7); memory.write({int80})
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
print("ran")"""
    end = confined.run(code)
    # A kernel without 32-bit calls has no such way in, and the instruction is a fault.
    assert (end.stdout, end.returncode) in {(b"", -signal.SIGSYS), (b"", -signal.SIGSEGV)}
    x32 = confined.run(f"{SYSCALLS}\nprint(call(0x40000000 + 39))")
    assert (x32.stdout, x32.returncode) == (b"", -signal.SIGSYS)


def test_a_terminal_is_not_typed_into(confined: Confined) -> None:
    ours, theirs = pty.openpty()
    try:
        commands = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSCTTY": 0x540E, "TIOCSETD": 0x5423}
        tries = [(command | high) for command in commands.values() for high in (0, 1 << 32, 0x7FFF << 32)]
        said = confined.says(f"{SYSCALLS}\nprint({{call('ioctl', 0, c, b'x') for c in {tries!r}}})", stdin=theirs)
        assert said == "{'EPERM'}"
        assert select.select([theirs], [], [], 0)[0] == []
    finally:
        os.close(ours)
        os.close(theirs)


def test_no_way_to_sockets_outside(confined: Confined) -> None:
    name = f"guards-{os.getpid()}-{confined.level}"
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as abstract:
        abstract.bind(f"\0{name}")
        abstract.settimeout(0)
        code = f"""
import socket
def reached(open_one):
    try: open_one().sendto(b"x", "\\0{name}")
    except OSError as error: return error.errno
own = reached(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
print(own, reached(lambda: socket.socketpair(type=2)[0]))"""
        assert confined.says(code) == "1 1"
        with pytest.raises(BlockingIOError):
            abstract.recv(1)


def test_strict_without_unix_sockets_has_pairs_only(folder: Path, user: int) -> None:
    confined = Confined("strict", user, folder, unix_sockets=False)
    code = """
import socket
socket.socketpair()
try: socket.socket(socket.AF_UNIX)
except PermissionError: print("refused")"""
    assert confined.says(code) == "refused"


@pytest.mark.parametrize("user", list(USERS)[-1:], indirect=True)
def test_limits_are_not_raised(confined: Confined) -> None:
    code = """
import resource as r
r.setrlimit(r.RLIMIT_CPU, (5, 5))
for limits in ((6, 6), (-1, -1), (5, 6)):
    try: r.setrlimit(r.RLIMIT_CPU, limits)
    except ValueError: print("refused", end=" ")"""
    assert confined.says(code) == "refused refused refused"


def test_no_child_sheds_the_filter(strict: Confined) -> None:
    code = f"""
import subprocess, sys
inner = {SYSCALLS!r} + "\\nprint(call('unshare', 0x10000000), call('memfd_create', b'x', 0))"
print(subprocess.run(["/bin/sh", "-c", 'exec "$0" "$@"', sys.executable, "-I", "-c", inner],
    capture_output=True, check=True).stdout.decode())"""
    assert strict.says(code) == "EPERM EPERM"
