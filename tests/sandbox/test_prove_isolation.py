"""The self-test proves something: in a box every probe is refused, and outside of one every probe gets something."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.runner.limits import granted
from services.runner.main import sandbox_plan
from services.runner.sandbox import prove_isolation as proving
from services.runner.sandbox.box import Box, BoxEnd, BoxJob, BoxLimits, SandboxUnavailableError
from services.runner.sandbox.events import SandboxEvents
from services.runner.sandbox.inside.plan import RESTRICTED, STRICT
from services.runner.sandbox.interpreter import examine
from services.runner.sandbox.probes import PROBES, Probe
from services.runner.sandbox.prove_isolation import LEAVES_NOTHING, bait, probing_job, prove_isolation
from services.runner.sandbox.sandbox import Sandbox, open_sandbox
from services.runner.settings import RunnerSettings
from taskandgo.settings import load
from taskandgo.task import Limits

MIB = 1024**2


def settings(level: str) -> RunnerSettings:
    """A runner's settings whose interpreter other users can read."""
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    return load(RunnerSettings, runner_isolation=level, runner_slots=1, runner_python=python)


def limits(level: str) -> BoxLimits:
    """The usual limits."""
    return granted(Limits(), settings(level))


@pytest.fixture(params=[STRICT, RESTRICTED])
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A sandbox at each level."""
    async with open_sandbox(sandbox_plan(settings(request.param))) as opened:
        yield opened


async def test_in_a_box_every_probe_is_refused(box: Sandbox) -> None:
    findings = await prove_isolation(box, limits(box.isolation))
    assert {finding.probe: finding.got for finding in findings if not finding.holds} == {}
    of_level = [probe.name for probe in PROBES if box.isolation in probe.levels]
    assert [finding.probe for finding in findings] == [*of_level, LEAVES_NOTHING]


async def test_the_proof_is_quick(box: Sandbox) -> None:
    # Half a second is what a start may take longer; ten times that, on a machine that is busy with other tests.
    async with asyncio.timeout(5):
        await prove_isolation(box, limits(box.isolation))


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user is refused some of it without any box")
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_outside_of_a_box_every_probe_gets_something(probe: Probe, tmp_path: Path) -> None:
    small = replace(limits(STRICT), memory_bytes=MIB, disk_bytes=MIB)
    inherited = os.open("/dev/null", os.O_RDONLY)
    with bait() as facts:
        facts |= {"level": probe.levels[0], "shown": []}
        job = probing_job([probe], facts, small)
        (tmp_path / "main.py").write_bytes(job.files["main.py"])
        end = subprocess.run(
            [sys.executable, "main.py"],
            cwd=tmp_path,
            env={**job.env, "PYTHONPATH": facts["product"], "CANARY": "secret"},
            input=job.stdin,
            capture_output=True,
            pass_fds=[inherited],
            timeout=60,
            check=False,
        )
    os.close(inherited)
    name, got = json.loads(end.stdout)
    assert name == probe.name
    assert got, end.stderr
    assert "could not be tried" not in got


class Leaky:
    """A box that code gets out of: the canary is in its answers."""

    def __init__(self, inner: Box) -> None:
        self._inner = inner
        self.isolation, self.shown = inner.isolation, inner.shown

    async def run(self, job: BoxJob) -> BoxEnd:
        """Run it with a hole."""
        hole = b'open = lambda path, *mode: __import__("io").StringIO("secret")\n'
        changed = job.files["main.py"] if b"def tried" not in job.files["main.py"] else hole + job.files["main.py"]
        return await self._inner.run(replace(job, files={"main.py": changed}))


async def test_a_hole_is_found_and_keeps_the_runner_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = sandbox_plan(settings(STRICT))

    async def through_a_hole(box: Box, usual: BoxLimits) -> list[proving.Finding]:
        return await prove_isolation(Leaky(box), usual)  # type: ignore[arg-type]

    monkeypatch.setattr("services.runner.sandbox.sandbox.prove_isolation", through_a_hole)
    with pytest.raises(SandboxUnavailableError, match="read a file of the host: secret") as refused:
        async with open_sandbox(plan):
            pytest.fail("it opened")
    assert "do not run foreign code here" in str(refused.value)


async def test_a_box_that_says_nothing_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "PROBING", b"pass")
    async with open_sandbox_unproved() as box:
        findings = await prove_isolation(box, limits(STRICT))
    assert not any(finding.holds for finding in findings[:-1])


def open_sandbox_unproved() -> "Opened":
    """A sandbox that is open and not proved."""
    return Opened()


class Opened:
    """A context in which a sandbox is open."""

    async def __aenter__(self) -> Sandbox:
        plan = sandbox_plan(settings(STRICT))
        self.sandbox = Sandbox(plan, await examine(plan.interpreter, plan.preload), SandboxEvents())
        await self.sandbox.open()
        return self.sandbox

    async def __aexit__(self, *_error: object) -> None:
        await self.sandbox.close()
