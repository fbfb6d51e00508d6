"""The Go toolchain on this machine, and its standard library compiled once: trusted code, run by the runner itself.

Promises: prepared once a toolchain, also by many runners at once; what is prepared holds all that a compilation reads,
is complete from the moment it is there, and is only read afterwards. It may as well have been made with an image.
"""

import asyncio
import contextlib
import fcntl
import os
import platform
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.runner.languages.language import MissingToolError

MISSING = "Go is not installed on this runner: put go on the PATH, or pip install 'taskandgo[go]'"
#: Raised whenever what is prepared changes.
LAYOUT = 5
#: Where it is in a box.
INSIDE = "/go"
TOOLS = ("compile", "link")
#: A program loaded from a file is no program that was submitted.
REFUSED = frozenset({"plugin"})
#: Paths of this machine are nobody's business, and debugging data is left out when a program is linked.
LIST = ("list", "-export", "-trimpath", "-gcflags=all=-dwarf=false", "-f", "{{.ImportPath}}={{.Export}}", "std")
ENV = {
    "GOTOOLCHAIN": "local",
    "GOENV": "off",
    "GOFLAGS": "",
    "CGO_ENABLED": "0",
    "GO111MODULE": "off",
    "GOTELEMETRY": "off",
}
MAKING = "making-"
LOCK_PAUSE_SECONDS = 0.2


async def prepare_go(cache: Path) -> Path:
    """A folder with compiler, linker and standard library, made if it is not there; MissingToolError without Go."""
    program = shutil.which("go") or shutil.which(
        "go", path=f"{Path(sys.executable).parent}:{sysconfig.get_path('scripts')}"
    )
    if program is None:
        raise MissingToolError(MISSING)
    root, version = (await _output(program, {}, "env", "GOROOT", "GOVERSION")).splitlines()
    prepared = cache / f"{version.replace(' ', '_')}-{platform.machine()}-{LAYOUT}"
    if not prepared.exists():
        try:
            await _make(Path(root), cache, prepared)
        except OSError as error:
            raise MissingToolError(f"Go cannot be prepared in RUNNER_GO_CACHE={cache}: {error}") from error
    return prepared


async def _make(root: Path, cache: Path, prepared: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    async with _locked(cache / "lock"):
        if prepared.exists():
            return
        for left in cache.glob(f"{MAKING}*"):  # by a runner that died
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=MAKING, dir=cache) as folder:
            listed = await _output(str(root / "bin" / "go"), {"GOCACHE": f"{folder}/gocache"}, *LIST)
            archives = dict(line.split("=", 1) for line in listed.splitlines())
            await asyncio.to_thread(_lay_out, root, archives, Path(folder) / "made")
            (Path(folder) / "made").rename(prepared)


def _lay_out(root: Path, archives: dict[str, str], made: Path) -> None:
    made.mkdir()
    made.chmod(0o755)
    lines = {}
    for number, (name, archive) in enumerate(archives.items()):
        if archive:  # unsafe has none
            shutil.copyfile(archive, made / f"{number}.a")
            lines[name] = f"packagefile {name}={INSIDE}/{number}.a\n"
    (made / "link.cfg").write_text("".join(lines.values()))
    (made / "compile.cfg").write_text("".join(line for name, line in lines.items() if _is_public(name)))
    for tool in TOOLS:
        shutil.copy(next((root / "pkg" / "tool").glob(f"*/{tool}")), made)
    os.sync()  # a machine that dies now leaves all of it, or nothing under its final name


def _is_public(name: str) -> bool:
    return name not in REFUSED and not {"internal", "vendor"} & set(name.split("/"))


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    # Asked for again and again: who waits for a lock in a thread cannot be cancelled.
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOCK_PAUSE_SECONDS)
        yield


async def _output(program: str, env: dict[str, str], *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(Path.home()), **ENV, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        # A runner that stops takes the compiler and its children with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
        raise
    if process.returncode:
        raise MissingToolError(f"{program} {arguments[0]} failed: {err.decode(errors='replace').strip()}")
    return out.decode().strip()
