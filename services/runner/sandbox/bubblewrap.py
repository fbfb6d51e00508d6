"""A box made by bubblewrap: own namespaces, no network, a read-only root, a private tmpfs to work in.

Promises: the host's file system is never written; the job inherits no environment, no descriptor but its
three streams, no capability; everything ends with bubblewrap, and bubblewrap ends with the runner.
"""

import asyncio
import os
import shutil
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from services.runner.sandbox.box import (
    PATH,
    WORK,
    BoxEnd,
    BoxJob,
    Cancellable,
    EndedBy,
    OutputWatcher,
    SandboxUnavailableError,
)
from services.runner.sandbox.output import OutputReader
from services.runner.sandbox.process import BoxProcess, ProcessEnd, adopt_orphans
from taskandgo.words import Stream

NOBODY = "65534"
ROOT_LINKS = ("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin")
PRODUCT = Path(__file__).parents[3]
PROOF_SECONDS = 20.0
FIX = (
    "bubblewrap needs user namespaces: set kernel.unprivileged_userns_clone=1 and user.max_user_namespaces above 0, "
    "on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0; in a container, allow them in its seccomp profile"
)


class BubblewrapBox:
    """Starts one bubblewrap for each job."""

    def __init__(self, work_bytes: int) -> None:
        self._bwrap = shutil.which("bwrap") or ""
        self._root = _root(work_bytes)

    @property
    def isolation(self) -> str:
        """The name of what confines."""
        return "bubblewrap"

    async def prove(self) -> None:
        """SandboxUnavailableError, with the failing step and its fix, unless a box works here."""
        if not self._bwrap:
            raise SandboxUnavailableError("bubblewrap is not installed: apt-get install bubblewrap")
        job = BoxJob(("/bin/true",), PROOF_SECONDS, 4096, 4096)
        end = await self.run(job)
        if end.exit_code != 0:
            said = end.problem or f"{end.ended_by}, exit code {end.exit_code}"
            raise SandboxUnavailableError(f"running `true` in a box failed: {said}\n{FIX}")

    async def run(self, job: BoxJob, watch: OutputWatcher | None = None, handle: Cancellable | None = None) -> BoxEnd:
        """Run the job to its end; cancelling the caller kills it."""
        try:
            running = _RunningJob(self._bwrap, self._root, job, watch or _unwatched)
        except OSError as error:
            return BoxEnd(None, EndedBy.SETUP, problem=f"bubblewrap could not be started: {error}")
        return await running.end(handle)


async def open_box(work_bytes: int) -> BubblewrapBox:
    """A box that is known to work; SandboxUnavailableError otherwise."""
    box = BubblewrapBox(work_bytes)
    await box.prove()
    return box


class _RunningJob:
    def __init__(self, bwrap: str, root: list[str], job: BoxJob, watch: OutputWatcher) -> None:
        self._job = job
        self._ended_by = EndedBy.EXIT
        self._output_bytes = 0
        self._started = time.monotonic()
        with ExitStack() as ours:
            ends = [_pipe(ours) for _ in range(3)]
            (out, out_end), (err, err_end), (status, status_end) = ends
            args, fds = _files(ours, job)
            argv = [bwrap, "--json-status-fd", str(status_end), *root, *_job_arguments(job), *args, "--", *job.argv]
            pipes = (_stdin(ours, job.stdin), out_end, err_end)
            readers = [os.dup(fd) for fd in (out, err, status)]
            self._process = _start(argv, readers, pipes, (status_end, *fds))
        keep = job.keep_bytes
        self._stdout = OutputReader(readers[0], keep, partial(watch, Stream.STDOUT), self._count)
        self._stderr = OutputReader(readers[1], keep, partial(watch, Stream.STDERR), self._count)

    async def end(self, handle: Cancellable | None) -> BoxEnd:
        timer = asyncio.get_running_loop().call_later(self._job.timeout_seconds, self._kill, EndedBy.TIMEOUT)
        if handle:
            handle.on_cancel(partial(self._kill, EndedBy.CANCEL))
        ending = asyncio.create_task(self._end())
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            self._kill(EndedBy.CANCEL)
            await asyncio.shield(ending)
            raise
        finally:
            timer.cancel()

    async def _end(self) -> BoxEnd:
        process = await self._process.ended
        await self._stdout.ended
        await self._stderr.ended
        return self._said(process)

    def _said(self, process: ProcessEnd) -> BoxEnd:
        never_ran = self._ended_by is EndedBy.EXIT and process.exit_code is None
        stderr = self._stderr.captured
        return BoxEnd(
            exit_code=process.exit_code,
            ended_by=EndedBy.SETUP if never_ran else self._ended_by,
            stdout=self._stdout.captured,
            stderr=stderr,
            wall_seconds=time.monotonic() - self._started,
            cpu_seconds=process.cpu_seconds,
            peak_memory_bytes=process.peak_memory_bytes,
            problem=stderr.data.decode(errors="replace").strip() or "bubblewrap died" if never_ran else "",
        )

    def _count(self, read_bytes: int) -> None:
        self._output_bytes += read_bytes
        if self._output_bytes > self._job.output_limit_bytes:
            self._kill(EndedBy.OUTPUT_LIMIT)

    def _kill(self, why: EndedBy) -> None:
        if self._ended_by is EndedBy.EXIT and not self._process.ended.done():
            self._ended_by = why
            self._process.kill()


def _unwatched(stream: Stream, offset: int, data: bytes) -> None:
    del stream, offset, data


def _start(argv: list[str], readers: list[int], pipes: tuple[int, int, int], fds: tuple[int, ...]) -> BoxProcess:
    try:
        adopt_orphans()
        return BoxProcess(argv, readers[2], pipes, fds)
    except OSError:
        for fd in readers:
            os.close(fd)
        raise


def _root(work_bytes: int) -> list[str]:
    size = str(work_bytes)
    links = [Path(link) for link in ROOT_LINKS]
    return [
        *("--unshare-user", "--unshare-all", "--uid", NOBODY, "--gid", NOBODY, "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session", "--clearenv", "--hostname", "box"),
        *("--ro-bind", "/usr", "/usr"),
        *(word for link in links if link.is_symlink() for word in ("--symlink", str(link.readlink()), str(link))),
        *(word for link in links if _is_real(link) for word in ("--ro-bind", str(link), str(link))),
        *("--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm"),  # noqa: S108 - in the box
        *("--size", size, "--tmpfs", "/tmp", "--size", size, "--tmpfs", WORK),  # noqa: S108 - in the box
        *("--chdir", WORK),
    ]


def _is_real(link: Path) -> bool:
    return link.is_dir() and not link.is_symlink()


def _job_arguments(job: BoxJob) -> list[str]:
    env = {"PATH": PATH, "HOME": WORK, "LANG": "C.UTF-8", **job.env}
    binds = [word for path in job.read_only for word in ("--ro-bind", path, path)]
    variables = [word for name, value in env.items() for word in ("--setenv", name, value)]
    # A runner that is root owns /proc/sys whatever its user is called in the box: only the mount keeps it from being
    # written, and with it settings of the whole host.
    closed = [word for path in ("/proc", "/dev", "/") for word in ("--remount-ro", path)]
    return [*binds, *_masks(job), *closed, *variables]


def _masks(job: BoxJob) -> list[str]:
    # Installed below a directory that the box shows, the product itself would be there to read.
    shown = (Path("/usr"), *map(Path, job.read_only))
    packages = (PRODUCT / "services", PRODUCT / "taskandgo")
    hidden = {package for package in packages if any(package.is_relative_to(path) for path in shown)}
    return [word for path in sorted(hidden) for word in ("--tmpfs", str(path), "--remount-ro", str(path))]


def _pipe(ours: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        ours.callback(os.close, end)
    return ends


def _stdin(ours: ExitStack, data: bytes) -> int:
    fd = _memory(data) if data else os.open(os.devnull, os.O_RDONLY)
    ours.callback(os.close, fd)
    return fd


def _files(ours: ExitStack, job: BoxJob) -> tuple[list[str], list[int]]:
    words: list[str] = []
    fds: list[int] = []
    for name, data in job.files.items():
        fd = _memory(data)
        ours.callback(os.close, fd)
        fds.append(fd)
        words += ["--perms", "0755", "--file", str(fd), f"{WORK}/{name}"]
    return words, fds


def _memory(data: bytes) -> int:
    fd = os.memfd_create("box")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
