"""Go: compiled and linked in a box of its own, against the prepared standard library; the binary comes out on stdout.

Promises: the same source is compiled once while it stays in the cache, also when many chunks ask at once.
"""

import asyncio
import hashlib
from collections import OrderedDict
from pathlib import Path

from services.runner.languages.go_toolchain import LIBRARY, TOOLS, GoToolchain, prepare_go
from services.runner.languages.language import MissingToolError, Program, Refused
from services.runner.sandbox.box import Box, BoxJob, BoxLimits, EndedBy
from services.runner.sandbox.inside.plan import RESTRICTED
from services.runner.sandbox.sealed import SealedFile

MIB = 1024 * 1024
EXTRA_ADDRESS_BYTES = 512 * MIB
OUT_OF_MEMORY = (b"fatal error: runtime: out of memory", b"runtime: out of memory", b"runtime: cannot allocate memory")
NOT_RESTRICTED = "Go needs the isolation level strict: restricted lets code start no program"
CACHE_BYTES = 256 * MIB
#: fd 3 keeps the compiler's own words away from stdout, which carries the binary.
SCRIPT = (
    "set -e; exec 3>&1 1>&2; "
    '"$0/compile" -p main -complete -importcfg "$1/compile.cfg" -pack -o /tmp/main.a main.go; '
    '"$0/link" -importcfg "$1/link.cfg" -s -w -buildmode=exe -o /tmp/main /tmp/main.a; '
    "cat /tmp/main >&3"
)


class Go:
    """The language Go."""

    def __init__(self, box: Box, cache: Path, limits: BoxLimits) -> None:
        self._box = box
        self._cache = cache
        self._limits = limits
        self._showing = asyncio.Lock()
        self._is_shown = False
        self._preparing: asyncio.Task[GoToolchain] | None = None
        self._builds: OrderedDict[bytes, asyncio.Task[Program | Refused]] = OrderedDict()

    async def prepare(self) -> None:
        """Find the toolchain, compile the standard library once, and show both to boxes."""
        toolchain = await self._toolchain()
        async with self._showing:
            if not self._is_shown:
                await self._box.show({str(toolchain.tools): TOOLS, str(toolchain.library): LIBRARY})
                self._is_shown = True

    async def build(self, code: str) -> Program | Refused:
        """The program, or the compiler's text."""
        await self.prepare()
        toolchain = await self._toolchain()
        key = hashlib.sha256(f"{toolchain.version}\0{code}".encode()).digest()
        building = self._builds.get(key)
        if building is None:
            building = asyncio.get_running_loop().create_task(self._compile(toolchain, code))
            self._builds[key] = building
        self._builds.move_to_end(key)
        # Shielded: a chunk that is cancelled takes the build from nobody else.
        try:
            built = await asyncio.shield(building)
        finally:
            self._forget_unsaid(key)
        self._forget_oldest()
        return built

    def _forget_unsaid(self, key: bytes) -> None:
        # Only what the compiler itself said of a source stays true; a box that failed may work the next time.
        building = self._builds.get(key)
        if building and building.done() and not _is_said(building):
            del self._builds[key]

    async def _toolchain(self) -> GoToolchain:
        if self._box.isolation == RESTRICTED:
            raise MissingToolError(NOT_RESTRICTED)
        if self._preparing is None or (self._preparing.done() and self._preparing.exception()):
            self._preparing = asyncio.get_running_loop().create_task(prepare_go(self._cache))
        return await asyncio.shield(self._preparing)

    async def _compile(self, toolchain: GoToolchain, code: str) -> Program | Refused:
        job = BoxJob(
            limits=self._limits,
            keep_bytes=self._limits.output_bytes,
            argv=("/bin/sh", "-c", SCRIPT, TOOLS, LIBRARY),
            extra_address_bytes=EXTRA_ADDRESS_BYTES,
            files={"main.go": code.encode()},
            env={"GOGC": "off", "GOMAXPROCS": "1", "PATH": "/usr/bin:/bin", "GOROOT": "/go"},
        )
        end = await self._box.run(job)
        if end.ended_by is not EndedBy.EXIT or end.exit_code != 0:
            return Refused(end, end.stderr.data[:MIB].replace(b"/work/", b""))
        return Program(
            argv=("./main",),
            binary=SealedFile(end.stdout.data),
            compile_seconds=end.wall_seconds,
            out_of_memory=OUT_OF_MEMORY,
            extra_address_bytes=EXTRA_ADDRESS_BYTES,
        )

    def _forget_oldest(self) -> None:
        done = [key for key, building in self._builds.items() if building.done() and _is_said(building)]
        sizes = {key: _size(self._builds[key].result()) for key in done}
        total = sum(sizes.values())
        for key in done[:-1]:
            if total <= CACHE_BYTES:
                return
            total -= sizes[key]
            del self._builds[key]


def _is_said(building: asyncio.Task[Program | Refused]) -> bool:
    if building.cancelled() or building.exception():
        return False
    built = building.result()
    return isinstance(built, Program) or built.end.ended_by is EndedBy.EXIT


def _size(built: Program | Refused) -> int:
    return len(built.text) if isinstance(built, Refused) else built.binary.size if built.binary else 0
