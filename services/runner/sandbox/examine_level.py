"""Finds out whether this machine can give an isolation level: every step is taken, and every probe made, for real."""

from dataclasses import dataclass

from services.runner.sandbox.box import SandboxUnavailableError
from services.runner.sandbox.events import SandboxEvents
from services.runner.sandbox.failure import PROOF, STARTING, STEPS, failure_of
from services.runner.sandbox.fixes import fix_of
from services.runner.sandbox.interpreter import examine
from services.runner.sandbox.machine import Machine
from services.runner.sandbox.prove_isolation import Finding, prove_isolation
from services.runner.sandbox.sandbox import Sandbox, SandboxPlan

SEPARATOR = "; "
BROKEN = "a wall stands, and does not hold"


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found: the steps that were taken, the one that failed with its fix, and what the probes got."""

    level: str
    steps: list[str]
    findings: list[Finding]
    metering: str = ""
    failed: str = ""
    said: str = ""
    fix: str = ""

    @property
    def is_given(self) -> bool:
        """Whether a runner at this level would start here."""
        return not self.failed


async def examine_level(plan: SandboxPlan, machine: Machine) -> Examination:
    """Whether the plan's level can be given on this machine."""
    try:
        sandbox = Sandbox(plan, await examine(plan.interpreter, plan.preload), SandboxEvents())
    except SandboxUnavailableError as error:
        return _failed(plan.level, str(error), machine)
    try:
        await sandbox.open()
        findings = await prove_isolation(sandbox, plan.limits)
    except SandboxUnavailableError as error:
        return _failed(plan.level, str(error), machine)
    finally:
        await sandbox.close()
    return _judged(sandbox, findings, machine)


def _judged(sandbox: Sandbox, findings: list[Finding], machine: Machine) -> Examination:
    steps = [STARTING, *dict.fromkeys(sandbox.steps.split(SEPARATOR))]
    level, metering = sandbox.isolation, sandbox.metering_explained
    if all(finding.holds for finding in findings):
        return Examination(level, steps, findings, metering)
    fix = fix_of(failure_of(level, f"{PROOF}: {BROKEN}", machine))
    return Examination(level, steps, findings, metering, PROOF, BROKEN, fix)


def _failed(level: str, told: str, machine: Machine) -> Examination:
    failure = failure_of(level, told, machine)
    taken = STEPS[level][: STEPS[level].index(failure.step)]
    return Examination(level, list(taken), [], "", failure.step, failure.said, fix_of(failure))
