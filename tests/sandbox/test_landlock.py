"""Landlock on this kernel: what may be read and written is, the rest is not, whoever asks."""

import contextlib
import errno
import fcntl
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.runner.sandbox.inside.landlock import EXECUTE, READ, READ_WRITE, Ruleset, restrict
from tests.sandbox.confined import NEEDED, ROOT_USER, USERS

EACCES, EPERM, EXDEV = errno.EACCES, errno.EPERM, errno.EXDEV

pytestmark = NEEDED


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> int:
    """Root, whom only Landlock holds back, and a user without rights."""
    return USERS[request.param]


@pytest.fixture
def tree(user: int) -> Iterator[Path]:
    """A folder to write in, one to read, one to keep out of: all the user's own."""
    top = Path(subprocess.check_output(["mktemp", "-d", "/tmp/guards.XXXXXX"], text=True).strip())
    for name in ("work", "other", "shown", "secret"):
        folder = top / name
        folder.mkdir()
        (folder / "file").write_text(name)
        (folder / "program").write_bytes(Path("/bin/true").read_bytes())
        (folder / "program").chmod(0o755)
        for path in (top, folder, *folder.iterdir()):
            os.chown(path, user, user)
    yield top
    shutil.rmtree(top)


Act = Callable[[], object]


def tried(user: int, guard: Act, *acts: Act) -> list[int]:
    """The errors of acts in a child of its own that became the user and put the guard up; 0 for what worked."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            become(user)
            guard()
            os.write(write, json.dumps([error_of(act) for act in acts]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        answers = said.read()
    os.waitpid(child, 0)
    errors: list[int] = json.loads(answers)
    return errors


def become(user: int) -> None:
    """Give up being who this is."""
    if os.getuid() != user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def error_of(act: Act) -> int:
    """The errno of an act; 0 if it worked."""
    try:
        act()
    except OSError as error:
        return error.errno or -1
    return 0


def guarded(tree: Path, *, execute: bool = False) -> Act:
    """Reading `shown`, writing `work` and `other`."""
    return lambda: restrict((str(tree / "shown"),), (str(tree / "work"), str(tree / "other")), execute=execute)


def test_only_what_is_shown_is_read(user: int, tree: Path) -> None:
    acts = [
        (tree / "shown/file").read_text,
        (tree / "work/file").read_text,
        lambda: list((tree / "shown").iterdir()),
        (tree / "secret/file").read_text,
        lambda: list((tree / "secret").iterdir()),
        lambda: list(tree.iterdir()),
        lambda: list(Path("/").iterdir()),
        lambda: Path("/etc/hostname").read_text(),
        lambda: Path("/proc/self/environ").read_bytes(),
        lambda: Path("/proc/self/mem").read_bytes(),
    ]
    assert tried(user, guarded(tree), *acts) == [0, 0, 0, *[EACCES] * 7]


def test_only_what_is_written_changes(user: int, tree: Path) -> None:
    work, shown, secret = tree / "work", tree / "shown", tree / "secret"
    allowed = [
        lambda: (work / "new").write_text("x"),
        (work / "folder").mkdir,
        (work / "folder").rmdir,
        lambda: (work / "link").symlink_to(secret / "file"),
        lambda: os.mkfifo(work / "fifo"),
        lambda: os.truncate(work / "file", 0),
        lambda: (work / "new").rename(tree / "other/new"),
        lambda: os.link(tree / "other/new", work / "hard"),
        (work / "hard").unlink,
    ]
    refused = [
        lambda: (shown / "file").write_text("x"),
        lambda: (shown / "new").write_text("x"),
        lambda: os.truncate(shown / "file", 0),
        (shown / "file").unlink,
        (shown / "folder").mkdir,
        lambda: (shown / "link").symlink_to("file"),
        lambda: os.mkfifo(shown / "fifo"),
        lambda: (shown / "file").rename(shown / "moved"),
        lambda: (secret / "file").write_text("x"),
        (work / "link").read_text,
        secret.rmdir,
    ]
    assert tried(user, guarded(tree), *allowed, *refused) == [*[0] * 9, *[EACCES] * 11]
    assert (shown / "file").read_text() == "shown"
    assert (secret / "file").read_text() == "secret"


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_carried_in_or_out(user: int, tree: Path) -> None:
    acts = [
        lambda: os.link(tree / "secret/file", tree / "work/hard"),
        lambda: (tree / "secret/file").rename(tree / "work/moved"),
        lambda: (tree / "work/file").rename(tree / "shown/moved"),
    ]
    errors = tried(user, guarded(tree), *acts)
    assert set(errors) <= {EACCES, EXDEV}
    assert names(tree / "work") == names(tree / "secret") == names(tree / "shown") == ["file", "program"]


@pytest.mark.skipif(not ROOT_USER, reason="nobody else makes devices anyway")
@pytest.mark.parametrize("user", list(USERS)[:1], indirect=True)
def test_root_makes_no_device(user: int, tree: Path) -> None:
    acts = [lambda: os.mknod(tree / "work/null", 0o20666, os.makedev(1, 3)), lambda: os.mknod(tree / "work/d", 0o60666)]
    assert tried(user, guarded(tree), *acts) == [EACCES, EACCES]


def runs(path: Path) -> Act:
    """Run a program."""
    return lambda: subprocess.run([path], check=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_programs_run_only_where_asked(user: int, tree: Path) -> None:
    def guard(*, execute: bool) -> Act:
        # The dynamic linker and the C library are programs as well, as far as the kernel is concerned.
        return lambda: restrict(("/usr", "/lib64", "/etc", str(tree / "shown")), (str(tree / "work"),), execute=execute)

    acts = [runs(tree / "shown/program"), runs(tree / "work/program"), runs(tree / "secret/program")]
    assert tried(user, guard(execute=True), *acts) == [0, 0, EACCES]
    assert tried(user, guard(execute=False), *acts) == [EACCES] * 3


def test_a_file_alone_may_be_allowed(user: int, tree: Path) -> None:
    def guard() -> None:
        restrict((str(tree / "shown/file"),), ("/dev/null",), execute=False)

    acts = [
        (tree / "shown/file").read_text,
        lambda: Path("/dev/null").write_text("x"),
        lambda: os.open("/dev/zero", os.O_RDONLY),
        (tree / "shown/program").read_bytes,
    ]
    assert tried(user, guard, *acts) == [0, 0, EACCES, EACCES]


def test_a_folder_may_be_given_by_its_descriptor(user: int, tree: Path) -> None:
    work = os.open(tree / "work", os.O_PATH)
    acts = [lambda: (tree / "work/file").write_text("x"), (tree / "other/file").read_text]
    assert tried(user, lambda: restrict((), (work,), execute=False), *acts) == [0, EACCES]
    os.close(work)


def test_the_network_is_closed(user: int, tree: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = server.getsockname()
        acts = [lambda: socket.socket().connect(address), lambda: socket.socket().bind(("127.0.0.1", 0))]
        assert tried(user, guarded(tree), *acts) == [EACCES, EACCES]
        with pytest.raises(BlockingIOError):
            server.accept()


def test_no_signal_nor_abstract_socket_leaves(user: int, tree: Path) -> None:
    name = f"\0guards-{os.getpid()}-{user}"
    with (
        socket.socket(socket.AF_UNIX) as listening,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as near,
    ):
        listening.bind(name)
        listening.listen()
        listening.settimeout(0)
        acts = [
            lambda: os.kill(os.getppid(), 0),
            lambda: os.kill(near.pid, signal.SIGKILL),
            lambda: signal.pidfd_send_signal(os.pidfd_open(near.pid), signal.SIGKILL),
            lambda: socket.socket(socket.AF_UNIX).connect(name),
            lambda: os.kill(os.getpid(), 0),
        ]
        assert tried(user, guarded(tree), *acts) == [EPERM, EPERM, EPERM, EPERM, 0]
        assert near.poll() is None
        with pytest.raises(BlockingIOError):
            listening.accept()
        near.kill()


def test_a_terminal_takes_no_commands(user: int, tree: Path) -> None:
    def ioctl() -> None:
        fd = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(fd, 0x80045430, bytes(4))

    def guard() -> None:
        restrict(("/dev",), ("/dev",), execute=False)

    assert tried(user, lambda: None, ioctl) == [0]
    assert tried(user, guard, ioctl) == [EACCES]


def test_no_way_back(user: int, tree: Path) -> None:
    def guard() -> None:
        guarded(tree)()
        restrict(("/",), ("/",), execute=True)

    def in_a_child() -> None:
        os.execv(sys.executable, ["python"])

    acts = [(tree / "secret/file").read_text, lambda: (tree / "shown/file").write_text(""), in_a_child]
    assert tried(user, guard, *acts) == [EACCES] * 3


def test_a_ruleset_prepared_ahead_holds_every_child(user: int, tree: Path) -> None:
    with Ruleset() as ruleset:
        ruleset.allow(str(tree / "shown"), READ | EXECUTE)
        ruleset.allow(str(tree / "work"), READ_WRITE)
        acts = [
            (tree / "shown/file").read_text,
            lambda: (tree / "work/file").write_text("x"),
            (tree / "secret/file").read_text,
        ]
        assert [tried(user, ruleset.restrict_self, *acts) for _ in range(2)] == [[0, 0, EACCES]] * 2
    assert (tree / "secret/file").read_text() == "secret", "the parent is held to nothing"


def test_nothing_is_left_open(user: int, tree: Path) -> None:
    def count() -> None:
        if len(before) != len(list(Path("/proc/self/fd").iterdir())):
            raise OSError(errno.EMFILE, "a descriptor is left")

    def guard() -> None:
        # What other tests left in circles may hold descriptors: not to be closed in between.
        gc.collect()
        gc.disable()
        before.extend(list(Path("/proc/self/fd").iterdir()))
        restrict(("/proc", str(tree)), (str(tree / "work"),), execute=True)

    before: list[str] = []
    assert tried(user, guard, count) == [0]
