"""Shows what `doctor` found: a table of steps and probes for each level, then what else a runner needs."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.diagnosis import Diagnosis
from services.runner.sandbox.examine_level import Examination
from services.runner.sandbox.failure import STEPS
from services.runner.sandbox.machine import Machine

GOOD, BAD, UNKNOWN = Text("ok", "green"), Text("FAILED", "red"), Text("not tried", "dim")


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Print it all."""
    console = Console()
    console.print(_facts(diagnosis))
    for level in diagnosis.levels:
        console.print(_level(level))
        if level.fix:
            console.print(Text(f" fix: {level.fix}", "bold"))
    console.print(_surroundings(diagnosis))
    console.print(_verdict(diagnosis))


def _facts(diagnosis: Diagnosis) -> Table:
    table = Table("this machine", "", box=None, title_justify="left")
    for name, value in _of_machine(diagnosis.machine):
        table.add_row(name, Text(value))
    metering = next((level.metering for level in diagnosis.levels if level.metering), "unknown: no box was made")
    table.add_row("metering", Text(metering))
    table.add_row("interpreter", Text(diagnosis.interpreter))
    return table


def _of_machine(machine: Machine) -> list[tuple[str, str]]:
    namespaces = {
        "user.max_user_namespaces": machine.max_user_namespaces,
        "kernel.unprivileged_userns_clone": machine.unprivileged_userns_clone,
        "kernel.apparmor_restrict_unprivileged_userns": machine.apparmor_restrict_unprivileged_userns,
    }
    rights = "with" if machine.has_sys_admin else "without"
    return [
        ("kernel", f"Linux {machine.kernel} on {machine.architecture}"),
        ("user", f"{machine.user}, {rights} CAP_SYS_ADMIN"),
        ("Landlock", f"version {machine.landlock_abi}" if machine.landlock_abi else "none"),
        ("security modules", machine.lsms or "unknown: /sys/kernel/security is not mounted"),
        ("user namespaces", ", ".join(f"{name}={value}" for name, value in namespaces.items() if value is not None)),
        ("started under", _confinement(machine)),
    ]


def _confinement(machine: Machine) -> str:
    seccomp = "a seccomp filter" if machine.seccomp else "no seccomp filter"
    return f"{seccomp}, AppArmor profile {machine.apparmor}" if machine.apparmor else seccomp


def _level(examined: Examination) -> Table:
    table = Table("step", "", "", title=f"\nlevel {examined.level}", title_justify="left", box=None)
    for step in STEPS[examined.level]:
        if step == examined.failed:
            table.add_row(step, BAD, Text(examined.said))
        elif step in examined.steps:
            table.add_row(step, GOOD)
        elif not examined.is_given:
            table.add_row(step, UNKNOWN)
    for finding in examined.findings:
        table.add_row(f"code cannot {finding.probe}", GOOD if finding.holds else BAD, Text(finding.got))
    return table


def _surroundings(diagnosis: Diagnosis) -> Table:
    table = Table("besides", "", "", title=" ", box=None)
    for tried in diagnosis.languages:
        table.add_row(tried.language, GOOD if tried.runs else BAD, Text(tried.said))
    for server in diagnosis.servers:
        table.add_row(server.setting, GOOD if server.answers else BAD, Text(server.said))
    return table


def _verdict(diagnosis: Diagnosis) -> Text:
    given = " and ".join(diagnosis.given_levels) or "no level"
    asked = f"RUNNER_ISOLATION={diagnosis.asked_level} is asked for"
    if diagnosis.asked_level not in diagnosis.given_levels:
        return Text(f"\nThis machine can give {given}; {asked}: a runner would not start here.", "red")
    if not diagnosis.ok:
        return Text(f"\nThis machine can give {given}; {asked}. A server that is named does not answer.", "red")
    return Text(f"\nThis machine can give {given}; {asked}: a runner would start here.", "green")
