"""Go: compiled and linked in a box of its own, against the prepared standard library; the binary comes out on stdout.

Promises: one file, the standard library, no cgo, no network; the same source is compiled once while it is remembered,
also when many chunks ask at once; the binary is handed to each run as a sealed file in memory, and never copied.
"""

import asyncio
import hashlib
import os
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from services.runner.languages.compiled_programs import Compilation, Compiled, CompiledPrograms
from services.runner.languages.go_toolchain import INSIDE, prepare_go
from services.runner.languages.language import MissingToolError, Program, Refused
from services.runner.outcomes import was_refused_memory
from services.runner.sandbox.box import (
    Box,
    BoxEnd,
    BoxJob,
    BoxLimits,
    Cancellable,
    Captured,
    EndedBy,
    SandboxUnavailableError,
)
from services.runner.sandbox.sealed import SealedFile
from taskandgo.telemetry.tracing import step

MIB = 1024 * 1024
#: Stacks of threads, and the tables of Go's allocator.
EXTRA_ADDRESS_BYTES = 128 * MIB
OUT_OF_MEMORY = (
    b"fatal error: out of memory",
    b"fatal error: runtime: out of memory",
    b"fatal error: runtime: cannot allocate memory",
    b"runtime: out of memory",
)
#: Go collects its garbage more eagerly when it comes near to this share of the limit.
SOFT_SHARE = 0.9
TEXT_BYTES = 64 * 1024
#: fd 3 keeps the compiler's own words away from stdout, which carries the binary.
SCRIPT = (
    "set -e; exec 3>&1 1>&2; "
    f"{INSIDE}/compile -p main -complete -dwarf=false -trimpath '/work=>' -importcfg {INSIDE}/compile.cfg "
    "-pack -o /tmp/main.a main.go; "
    f"{INSIDE}/link -s -w -buildmode=exe -importcfg {INSIDE}/link.cfg -o /tmp/main /tmp/main.a; "
    "exec cat /tmp/main >&3"
)
CANCELLED = Refused(BoxEnd(None, EndedBy.CANCEL))


class Go:
    """The language Go; `slots` is how many programs share the machine's processors."""

    def __init__(self, box: Box, cache: Path, limits: BoxLimits, slots: int, programs: CompiledPrograms) -> None:
        self._box = box
        self._cache = cache
        self._limits = limits
        processors = len(os.sched_getaffinity(0))
        self._processors = min(processors, max(2, processors // slots))
        self._programs = programs
        self._prepared = asyncio.Event()
        self._missing = "Go could not be prepared, for the runner stops"
        self._toolchain = ""

    async def prepare(self) -> None:
        """Find the toolchain, compile the standard library once, and show both to boxes."""
        try:
            folder = await prepare_go(self._cache)
            await self._box.show({str(folder): INSIDE})
            self._toolchain, self._missing = folder.name, ""
        except (MissingToolError, SandboxUnavailableError) as error:
            self._missing = str(error)
            raise MissingToolError(self._missing) from error
        finally:
            self._prepared.set()

    async def build(self, code: str, limits: BoxLimits, handle: Cancellable) -> Program | Refused:
        """The program, or the compiler's text; CANCELLED if the chunk is cancelled before there is either."""
        compiled = await _unless_cancelled(self._compiled(code), handle)
        if not isinstance(compiled, Compiled):
            return compiled or CANCELLED
        return Program(
            argv=("./main",),
            binary=compiled.binary,
            env={"GOMAXPROCS": str(self._processors), "GOMEMLIMIT": _soft(limits)},
            compile_seconds=compiled.seconds,
            out_of_memory=OUT_OF_MEMORY,
            extra_address_bytes=EXTRA_ADDRESS_BYTES,
        )

    async def _compiled(self, code: str) -> Compilation:
        await self._prepared.wait()
        if self._missing:
            raise MissingToolError(self._missing)
        source = code.encode()
        key = hashlib.sha256(f"{self._toolchain}\0{SCRIPT}\0".encode() + source).digest()
        return await self._programs.get(key, partial(self._compile, source))

    async def _compile(self, source: bytes) -> Compilation:
        job = BoxJob(
            limits=self._limits,
            keep_bytes=self._limits.output_bytes,
            argv=("/bin/sh", "-c", SCRIPT),
            extra_address_bytes=EXTRA_ADDRESS_BYTES,
            files={"main.go": source},
            # Garbage is collected only where memory is about to end.
            env={"GOGC": "off", "GOMEMLIMIT": _soft(self._limits), "GOMAXPROCS": "1", "PATH": "/usr/bin:/bin"},
        )
        with step("compile go"):
            end = await self._box.run(job)
        if end.ended_by is EndedBy.EXIT and end.exit_code == 0:
            return Compiled(SealedFile(end.stdout.data), end.wall_seconds)
        return Refused(_without_binary(end))


def _without_binary(end: BoxEnd) -> BoxEnd:
    if end.ended_by is EndedBy.EXIT and was_refused_memory(end, OUT_OF_MEMORY):
        end = replace(end, exit_code=None, ended_by=EndedBy.MEMORY)
    said = Captured(end.stderr.data[:TEXT_BYTES], end.stderr.total_bytes)
    return replace(end, stdout=Captured(), stderr=said)


def _soft(limits: BoxLimits) -> str:
    return str(int(limits.memory_bytes * SOFT_SHARE))


async def _unless_cancelled(work: Coroutine[Any, Any, Compilation], handle: Cancellable) -> Compilation | None:
    working = asyncio.get_running_loop().create_task(work)

    def cancel() -> None:
        working.cancel()

    handle.on_cancel(cancel)
    try:
        return await working
    except asyncio.CancelledError:
        this = asyncio.current_task()
        if this and this.cancelling():
            raise  # not the chunk was cancelled, but its whole runner stops
        return None
