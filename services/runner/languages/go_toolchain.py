"""The Go toolchain on this machine, and its standard library compiled once: trusted code, run by the runner itself.

Promises: prepared once a toolchain, also by many runners at once; what is prepared is only read afterwards.
"""

import asyncio
import contextlib
import fcntl
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from services.runner.languages.language import MissingToolError

MISSING = "Go is not installed on this runner: put go on the PATH, or pip install 'taskandgo[go]'"
#: Raised whenever what is prepared changes.
LAYOUT = 3
#: Where both are in a box.
TOOLS, LIBRARY = "/go/tools", "/go/library"
#: A program loaded from a file is no program that was submitted.
REFUSED = frozenset({"plugin"})
LIST = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"


@dataclass(frozen=True, slots=True)
class GoToolchain:
    """Where the toolchain and its compiled standard library are."""

    version: str
    tools: Path
    library: Path


async def prepare_go(cache: Path) -> GoToolchain:
    """Find the toolchain and compile its standard library if that has not been done; MissingToolError without Go."""
    program = shutil.which("go") or shutil.which(
        "go", path=f"{Path(sys.executable).parent}:{sysconfig.get_path('scripts')}"
    )
    if program is None:
        raise MissingToolError(MISSING)
    root = Path(await _output(program, {}, "env", "GOROOT"))
    version = await _output(program, {}, "env", "GOVERSION")
    cache.mkdir(parents=True, exist_ok=True)
    library = cache / f"{version.replace(' ', '_')}-{platform.machine()}-{LAYOUT}"
    with (cache / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not library.exists():
            await _compile_library(str(root / "bin" / "go"), cache, library)
    return GoToolchain(version, next((root / "pkg" / "tool").glob("*_*")), library)


async def _compile_library(program: str, cache: Path, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        listed = await _output(program, {"GOCACHE": f"{folder}/gocache"}, "list", "-export", "-f", LIST, "std")
        made = Path(folder) / "made"
        made.mkdir(mode=0o755)
        packages = dict(line.removeprefix("packagefile ").split("=", 1) for line in listed.splitlines() if line)
        for number, archive in enumerate(packages.values()):
            shutil.copy(archive, made / f"{number}.a")
        lines = {name: f"packagefile {name}={LIBRARY}/{number}.a\n" for number, name in enumerate(packages)}
        (made / "link.cfg").write_text("".join(lines.values()))
        (made / "compile.cfg").write_text("".join(line for name, line in lines.items() if _is_public(name)))
        made.rename(library)


def _is_public(name: str) -> bool:
    return name not in REFUSED and not {"internal", "vendor"} & set(name.split("/"))


async def _output(program: str, env: dict[str, str], *arguments: str) -> str:
    fixed = {"GOTOOLCHAIN": "local", "GOENV": "off", "GOFLAGS": "", "CGO_ENABLED": "0", "GO111MODULE": "off"}
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(Path.home()), "GOTELEMETRY": "off", **fixed, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        # A runner that stops takes the compiler with it.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    if process.returncode:
        raise MissingToolError(f"{program} {arguments[0]} failed: {err.decode(errors='replace').strip()}")
    return out.decode().strip()
