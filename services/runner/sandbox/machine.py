"""What the kernel and whoever started this process allow it: facts that tell why a step of a box fails."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from services.runner.sandbox.inside import landlock
from services.runner.sandbox.inside.syscall_numbers import MACHINES, NUMBERS

CAP_SYS_ADMIN = 1 << 21
UNCONFINED = ("", "unconfined")


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts; None is what this kernel does not say."""

    kernel: str
    architecture: str
    user: int
    has_sys_admin: bool
    seccomp: bool
    apparmor: str
    landlock_abi: int
    lsms: str | None
    max_user_namespaces: int | None
    unprivileged_userns_clone: int | None
    apparmor_restrict_unprivileged_userns: int | None

    @property
    def is_supported(self) -> bool:
        """Whether its system calls are known."""
        return self.architecture in MACHINES

    def is_older_than(self, major: int, minor: int) -> bool:
        """Whether its kernel is."""
        numbers = re.match(r"(\d+)\.(\d+)", self.kernel)
        return numbers is not None and (int(numbers[1]), int(numbers[2])) < (major, minor)


def look_at_machine() -> Machine:
    """The facts as they are now."""
    status = dict(line.split(":\t", 1) for line in _text("/proc/self/status").splitlines() if ":\t" in line)
    return Machine(
        kernel=platform.release(),
        architecture=platform.machine(),
        user=os.geteuid(),
        has_sys_admin=bool(int(status.get("CapEff", "0"), 16) & CAP_SYS_ADMIN),
        seccomp=status.get("Seccomp", "0").strip() != "0",
        apparmor=_text("/proc/self/attr/apparmor/current") or _text("/proc/self/attr/current"),
        landlock_abi=landlock.abi() if NUMBERS else 0,
        lsms=_text("/sys/kernel/security/lsm") or None,
        max_user_namespaces=_number("/proc/sys/user/max_user_namespaces"),
        unprivileged_userns_clone=_number("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor_restrict_unprivileged_userns=_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
    )


def _number(path: str) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
