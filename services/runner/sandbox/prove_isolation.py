"""Proves, before the first job comes, that boxes hold: real attempts to get out, made the way that jobs go.

Promises: what is found is what code in a box was able to do; a box that cannot be set up or does not end is an error,
never a proof.
"""

import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.runner.sandbox.box import Box, BoxEnd, BoxJob, BoxLimits, EndedBy, SandboxUnavailableError
from services.runner.sandbox.failure import PROOF
from services.runner.sandbox.inside.syscall_numbers import NUMBERS
from services.runner.sandbox.probes import FINDING, LEAVING, PROBES, Probe

PROBING = Path(__file__).with_name("probing.py").read_bytes()
PRODUCT = Path(__file__).parents[3]
PACKAGES = ("services", "taskandgo")
ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
SECONDS = 20.0
KEEP_BYTES = 1024 * 1024
LEAVES_NOTHING = "leave files or processes to the next box"


@dataclass(frozen=True, slots=True)
class Finding:
    """What code in a box got hold of when it tried; it holds when that is nothing."""

    probe: str
    got: str

    @property
    def holds(self) -> bool:
        """Whether the attempt was refused."""
        return not self.got


async def prove_isolation(box: Box, limits: BoxLimits) -> list[Finding]:
    """Try every probe of the box's level; SandboxUnavailableError if there is no box to try it in."""
    jobs_limits = replace(limits, timeout_seconds=SECONDS)
    left = await _run(box, BoxJob(jobs_limits, KEEP_BYTES, files={"main.py": LEAVING.encode()}, env=ENV))
    probes = [probe for probe in PROBES if box.isolation in probe.levels]
    with bait() as facts:
        facts |= {"level": box.isolation, "shown": box.shown}
        tried = await _run(box, probing_job(probes, facts, jobs_limits))
    seen = await _run(box, BoxJob(jobs_limits, KEEP_BYTES, files={"main.py": FINDING.encode()}, env=ENV))
    remains = _words(left) or _words(seen) or seen.stdout.data.decode(errors="replace")
    return [*_findings(probes, tried), Finding(LEAVES_NOTHING, remains)]


def require(findings: list[Finding]) -> None:
    """Nothing when all of it holds; else SandboxUnavailableError with what code got hold of."""
    if broken := [f"{finding.probe}: {finding.got}" for finding in findings if not finding.holds]:
        raise SandboxUnavailableError(f"{PROOF}: code in a box could {'; '.join(broken)}")


def probing_job(probes: list[Probe], facts: dict[str, Any], limits: BoxLimits) -> BoxJob:
    """The job that tries the probes."""
    limited = {"memory_bytes": limits.memory_bytes, "disk_bytes": limits.disk_bytes}
    tries = [(probe.name, probe.program) for probe in probes]
    given = {"facts": facts | limited, "numbers": NUMBERS, "probes": tries}
    return BoxJob(limits, KEEP_BYTES, files={"main.py": PROBING}, env=ENV, stdin=json.dumps(given).encode())


@contextmanager
def bait() -> Iterator[dict[str, Any]]:
    """Things to be got hold of, which exist while the context lasts: a file, servers, this process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskandgo-canary-")))
        folder.chmod(0o777)
        canary = folder / "canary"
        canary.write_text(secrets.token_hex())
        canary.chmod(0o644)
        abstract = f"taskandgo-{secrets.token_hex()}"
        port = _listen(stack, socket.AF_INET, ("127.0.0.1", 0)).getsockname()[1]
        _listen(stack, socket.AF_UNIX, f"\0{abstract}")
        yield {
            "canary": str(canary),
            "canary_folder": str(folder),
            "product": str(PRODUCT),
            "product_packages": PACKAGES,
            "given_env": [*ENV, "LC_CTYPE"],
            "runner": os.getpid(),
            "runner_parent": os.getppid(),
            "port": port,
            "abstract": abstract,
        }


def _listen(stack: ExitStack, family: int, address: Any) -> socket.socket:
    server = stack.enter_context(socket.socket(family))
    server.bind(address)
    server.listen()
    return server


async def _run(box: Box, job: BoxJob) -> BoxEnd:
    end = await box.run(job)
    if end.ended_by is EndedBy.SETUP:
        raise SandboxUnavailableError(end.problem)
    return end


def _findings(probes: list[Probe], end: BoxEnd) -> list[Finding]:
    told = dict(json.loads(line) for line in end.stdout.data.splitlines())
    why_not = _words(end) or "it was not told"
    return [Finding(probe.name, told.get(probe.name, f"could not be tried: {why_not}")) for probe in probes]


def _words(end: BoxEnd) -> str:
    """Why a job did not come to its end."""
    if end.ended_by is EndedBy.EXIT and end.exit_code == 0:
        return ""
    return f"{end.ended_by}, exit code {end.exit_code}: {end.stderr.data.decode(errors='replace').strip()}"
