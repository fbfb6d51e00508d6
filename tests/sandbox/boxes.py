"""Boxes for tests: small limits, jobs of Python code, and an interpreter that whoever runs the tests can read."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.runner.execute_chunk import ENV
from services.runner.sandbox.box import BoxEnd, BoxJob, BoxLimits, EndedBy, OutputWatcher
from services.runner.sandbox.inside import landlock
from services.runner.sandbox.sandbox import Sandbox, SandboxPlan

MIB = 1024 * 1024
LIMITS = BoxLimits(
    timeout_seconds=20,
    cpu_seconds=10,
    memory_bytes=128 * MIB,
    processes=24,
    open_files=64,
    disk_bytes=16 * MIB,
    output_bytes=16 * MIB,
)
NOBODY = 65534
#: The levels that this machine can be asked for.
LEVELS = ("strict", *(["restricted"] if landlock.abi() >= 6 else []))


def interpreter() -> str:
    """What the environment says, or the base interpreter of the tests' own."""
    return os.environ.get("RUNNER_PYTHON") or os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def open_to_all(path: str) -> bool:
    """Whether every user can get there."""
    return all(parent.stat().st_mode & 0o001 for parent in Path(path).parents)


def interpreter_for(level: str) -> str:
    """At the level `restricted` code reads the interpreter's files as the user that it runs as."""
    ours = interpreter()
    return ours if level == "strict" or os.getuid() or open_to_all(ours) else "/usr/bin/python3"


def plan(level: str = "strict", slots: int = 2, limits: BoxLimits = LIMITS, name: str = "tests") -> SandboxPlan:
    """A sandbox's plan; no two that are open at once may have one name."""
    return SandboxPlan(level, NOBODY, interpreter_for(level), (), slots, limits, f"{name}-{os.getpid()}")


def job(
    code: str | bytes, *, stdin: bytes = b"", keep: int = MIB, env: dict[str, str] | None = None, **limits: Any
) -> BoxJob:
    """Python code as a job; `limits` differ from the usual."""
    source = code.encode() if isinstance(code, str) else code
    return BoxJob(replace(LIMITS, **limits), keep, files={"main.py": source}, env=ENV | (env or {}), stdin=stdin)


@dataclass(frozen=True)
class Runs:
    """Runs Python code in the boxes of a sandbox."""

    sandbox: Sandbox

    async def end(self, code: str | bytes, watch: OutputWatcher | None = None, **how: Any) -> BoxEnd:
        """However it ends."""
        return await self.sandbox.run(job(code, **how), watch)

    async def exit(self, code: str | bytes, **how: Any) -> BoxEnd:
        """The end of code that ends by itself."""
        end = await self.end(code, **how)
        assert end.ended_by is EndedBy.EXIT, end
        return end

    async def says(self, code: str | bytes, **how: Any) -> str:
        """What code prints that ends well."""
        end = await self.exit(code, **how)
        assert end.exit_code == 0, end
        return end.stdout.data.decode().strip()


#: A condition on a run's end, for tables of cases.
Check = Callable[[BoxEnd], bool]
