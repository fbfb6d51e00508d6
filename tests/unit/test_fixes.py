"""Every step of a box has a fix, and the fix is the one that helps."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from services.runner.sandbox.failure import PROOF, STARTING, STEPS, failure_of
from services.runner.sandbox.fixes import FIXES, explain, fix_of
from services.runner.sandbox.inside.plan import RESTRICTED, STRICT
from services.runner.sandbox.inside.restricted import LEAST_ABI
from services.runner.sandbox.machine import Machine, look_at_machine

INSIDE = Path(__file__).parents[2] / "services" / "runner" / "sandbox" / "inside"
PLAIN = Machine(
    kernel="6.18.0",
    architecture="x86_64",
    user=1000,
    has_sys_admin=False,
    seccomp=False,
    apparmor="",
    landlock_abi=7,
    lsms=None,
    max_user_namespaces=1000,
    unprivileged_userns_clone=None,
    apparmor_restrict_unprivileged_userns=None,
)
REFUSED = "Operation not permitted"
MISSING = "Function not implemented"


def steps_in(file: str) -> list[str]:
    """The steps that a file of the sandbox takes, in order of their lines."""
    calls = [node for node in ast.walk(ast.parse((INSIDE / file).read_text())) if isinstance(node, ast.Call)]
    taken = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "take"]
    return [
        eval(compile(ast.Expression(call.args[0]), file, "eval"), {"LEAST_ABI": LEAST_ABI})
        for call in sorted(taken, key=lambda call: call.lineno)
    ]


@pytest.mark.parametrize(("level", "file"), [(STRICT, "strict.py"), (RESTRICTED, "restricted.py")])
def test_the_table_has_the_steps_that_are_taken_in_their_order(level: str, file: str) -> None:
    named = [step for step in STEPS[level] if step not in {STARTING, PROOF}]
    assert named[: len(steps_in(file))] == steps_in(file)


@pytest.mark.parametrize(("level", "step"), [(level, step) for level, steps in STEPS.items() for step in steps])
def test_every_step_has_a_fix(level: str, step: str) -> None:
    assert fix_of(failure_of(level, f"{step}: whatever", PLAIN))


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.text[:40])
def test_a_fix_is_for_steps_that_there_are(fix: object) -> None:
    assert set(fix.steps) <= {step for steps in STEPS.values() for step in steps}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("level", "told", "machine", "fix"),
    [
        (STRICT, "namespaces of the zygote: unshare: No space left on device", {}, "user.max_user_namespaces"),
        (
            STRICT,
            f"namespaces of the zygote: unshare: {REFUSED}",
            {"unprivileged_userns_clone": 0},
            "kernel.unprivileged_userns_clone=1",
        ),
        (
            STRICT,
            f"a minimal, read-only root: mount: {REFUSED}",
            {"apparmor_restrict_unprivileged_userns": 1},
            "AppArmor profile with `userns,`",
        ),
        (STRICT, f"namespaces of the zygote: unshare: {REFUSED}", {"seccomp": True}, "seccomp profile"),
        (STRICT, f"namespaces of the box: clone: {REFUSED}", {"seccomp": True}, "seccomp profile"),
        (STRICT, f"a minimal, read-only root: mount_setattr: {MISSING}", {"kernel": "5.11.0"}, "Linux 5.13"),
        (STRICT, "a process in its namespaces: setns: Invalid argument", {"kernel": "5.7.1"}, "Linux 5.13"),
        (
            STRICT,
            "a minimal, read-only root: mount: Permission denied",
            {"apparmor": "docker-default (enforce)", "seccomp": True},
            "AppArmor profile",
        ),
        (STRICT, f"namespaces of the zygote: unshare: {REFUSED}", {"user": 0}, "CAP_SYS_ADMIN"),
        (STRICT, "Landlock rules: landlock_create_ruleset: Operation not supported", {"landlock_abi": 0}, "lsm="),
        (
            STRICT,
            f"Landlock rules: landlock_create_ruleset: {MISSING}",
            {"landlock_abi": 0, "kernel": "5.4.0"},
            "Linux 5.13",
        ),
        (
            STRICT,
            f"Landlock rules: landlock_create_ruleset: {REFUSED}",
            {"landlock_abi": 0, "seccomp": True},
            "landlock_create_ruleset",
        ),
        (STRICT, "seccomp: seccomp: Invalid argument", {}, "CONFIG_SECCOMP_FILTER"),
        (STRICT, "the interpreter: No such file or directory: /x", {}, "RUNNER_PYTHON"),
        (STRICT, "Traceback…\nSyntaxError: invalid syntax", {}, "3.11"),
        (STRICT, "an ordinary user: Invalid argument", {"user": 0}, "RUNNER_SANDBOX_UID"),
        (STRICT, f"namespaces of the zygote: unshare: {MISSING}", {"architecture": "riscv64"}, "x86_64 and aarch64"),
        (RESTRICTED, f"{STEPS[RESTRICTED][1]}: this kernel has version 4", {"landlock_abi": 4}, "Linux 6.12"),
        (RESTRICTED, "an interpreter that this user can read: Permission denied: /root/x", {}, "chmod o+x"),
        (RESTRICTED, "a process: Resource temporarily unavailable", {}, "pids limit"),
        (STRICT, "proof: code in a box could do it", {}, "do not run foreign code"),
    ],
)
def test_the_fix_fits_the_case(level: str, told: str, machine: dict[str, object], fix: str) -> None:
    failure = failure_of(level, f"the zygote does not answer: {told}", replace(PLAIN, **machine))  # type: ignore[arg-type]
    assert fix in fix_of(failure)


def test_a_runner_that_cannot_start_says_level_step_cause_and_fix() -> None:
    said = explain(failure_of(STRICT, f"seccomp: seccomp: {REFUSED}", PLAIN))
    assert "level strict" in said
    assert f"failed: seccomp: seccomp: {REFUSED}" in said
    assert "fix: the kernel needs CONFIG_SECCOMP_FILTER" in said
    assert "taskandgo doctor" in said


def test_this_machine_can_be_looked_at() -> None:
    machine = look_at_machine()
    assert machine.kernel
    assert machine.is_supported
    assert not machine.is_older_than(3, 0)
    assert machine.is_older_than(99, 0)
