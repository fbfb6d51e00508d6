"""What a person can do about a step of a box that fails: a table, from the step and what the machine is like to a fix.

The first line that fits is the one; the last of a step's lines always fits. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass

from services.runner.sandbox.failure import PROOF, STARTING, STEPS, Failure
from services.runner.sandbox.inside.plan import STRICT
from services.runner.sandbox.machine import UNCONFINED


@dataclass(frozen=True, slots=True)
class Fix:
    """What to do when one of these steps fails and the case fits."""

    steps: tuple[str, ...]
    fits: Callable[[Failure], bool]
    text: str


def _always(_failure: Failure) -> bool:
    return True


def _is_refused(failure: Failure) -> bool:
    return failure.said_one_of("Operation not permitted", "Permission denied")


def _is_missing(failure: Failure) -> bool:
    return failure.said_one_of("Function not implemented")


NAMESPACES = (
    "namespaces of the zygote",
    "a user namespace of its own",
    "namespaces of the box",
    "a user of its own",
    "a process in its namespaces",
)
MOUNTS = ("a minimal, read-only root", "a private file system")
LANDLOCK = ("Landlock rules", "Landlock", "Landlock of version 6, which scopes signals and sockets")
FORKS = ("the first process of its namespace", "a process in its namespaces", "a process")
EVERY = tuple(dict.fromkeys(step for steps in STEPS.values() for step in steps))

OR_RESTRICTED = "Or, for Python alone, set RUNNER_ISOLATION=restricted."
SECCOMP_PROFILE = (
    "the container's seccomp profile does not allow it. Docker: --security-opt seccomp=FILE; Kubernetes: "
    "securityContext.seccompProfile of type Localhost; FILE is deploy/docker/seccomp-runner.json, which allows "
    "unshare, clone, setns, mount, mount_setattr, umount2 and pivot_root (docs/docker.md explains it)."
)
APPARMOR_PROFILE = (
    "the container's AppArmor profile does not allow mounts. Docker: --security-opt apparmor=unconfined; Kubernetes: "
    "securityContext.appArmorProfile of type Unconfined, or Localhost with a profile that has `userns,` and `mount,`."
)

FIXES = (
    Fix(
        EVERY,
        lambda failure: not failure.machine.is_supported,
        "this processor is not supported: x86_64 and aarch64 are.",
    ),
    Fix(
        EVERY,
        lambda failure: failure.level == STRICT and failure.machine.is_older_than(5, 13),
        "the kernel is too old: strict needs Linux 5.13, for setns of a process (5.8), close_range (5.9), "
        "mount_setattr (5.12) and Landlock (5.13).",
    ),
    Fix(
        NAMESPACES,
        lambda failure: failure.said_one_of("No space left"),
        "no more user namespaces are allowed: sysctl -w user.max_user_namespaces=15000, and the same in /etc/sysctl.d/ "
        "so that it lasts.",
    ),
    Fix(
        NAMESPACES,
        lambda failure: failure.machine.unprivileged_userns_clone == 0,
        "ordinary users may not make user namespaces: sysctl -w kernel.unprivileged_userns_clone=1, and the same in "
        "/etc/sysctl.d/.",
    ),
    Fix(
        (*NAMESPACES, *MOUNTS),
        lambda failure: bool(failure.machine.apparmor_restrict_unprivileged_userns) and _is_refused(failure),
        "Ubuntu takes all rights from user namespaces of unconfined programs: load an AppArmor profile with `userns,` "
        "for the interpreter that the runner starts (docs/sandbox.md has one), or sysctl -w "
        "kernel.apparmor_restrict_unprivileged_userns=0.",
    ),
    Fix(
        ("an ordinary user",),
        lambda failure: failure.said_one_of("Invalid argument"),
        "the user that RUNNER_SANDBOX_UID names is not mapped in this container: set it to one in /proc/self/uid_map.",
    ),
    Fix(
        ("an ordinary user",),
        _always,
        "this root may not become another user: add the capabilities SETUID and SETGID, or start the runner as an "
        "ordinary user.",
    ),
    Fix(
        MOUNTS,
        lambda failure: failure.machine.apparmor.split(" ")[0] not in UNCONFINED and _is_refused(failure),
        APPARMOR_PROFILE,
    ),
    Fix(
        (*NAMESPACES, *MOUNTS, *FORKS),
        lambda failure: failure.machine.seccomp and (_is_refused(failure) or _is_missing(failure)),
        f"{SECCOMP_PROFILE} {OR_RESTRICTED}",
    ),
    Fix(
        NAMESPACES,
        lambda failure: failure.machine.user == 0 and not failure.machine.has_sys_admin,
        "this root has no CAP_SYS_ADMIN: start the runner as an ordinary user, or add the capability in a container "
        "with a user namespace of its own.",
    ),
    Fix(
        NAMESPACES,
        _is_missing,
        "this kernel is built without one of the namespaces (CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS, "
        "CONFIG_IPC_NS, CONFIG_UTS_NS, CONFIG_CGROUPS).",
    ),
    Fix(
        FORKS,
        lambda failure: failure.said_one_of("Resource temporarily unavailable", "Cannot allocate memory"),
        "no more processes are allowed here, or memory is out: raise the container's pids limit, or the user's "
        "`ulimit -u`.",
    ),
    Fix(
        LANDLOCK,
        lambda failure: failure.machine.landlock_abi == 0 and "landlock" not in (failure.machine.lsms or "landlock"),
        "Landlock is off: put landlock in front of the list in the kernel's parameter lsm=, as in lsm=landlock,yama,"
        "apparmor, and boot again.",
    ),
    Fix(
        LANDLOCK,
        lambda failure: failure.said_one_of("Operation not supported"),
        "Landlock is off: put landlock in front of the list in the kernel's parameter lsm=, and boot again.",
    ),
    Fix(
        LANDLOCK,
        lambda failure: failure.machine.seccomp and (_is_refused(failure) or _is_missing(failure)),
        "the container's seccomp profile does not allow landlock_create_ruleset, landlock_add_rule and "
        "landlock_restrict_self, as the default one of every runtime since 2021 does: update the runtime, or its "
        "profile.",
    ),
    Fix(
        LANDLOCK,
        lambda failure: failure.machine.landlock_abi == 0,
        "this kernel has no Landlock: it came with Linux 5.13, as CONFIG_SECURITY_LANDLOCK.",
    ),
    Fix(
        ("Landlock of version 6, which scopes signals and sockets",),
        _always,
        "the level restricted needs Linux 6.12 or newer; on this kernel only strict can be given.",
    ),
    Fix(
        ("nothing of this product where the code can read",),
        _always,
        "restricted cannot hide single folders: install this product outside of /usr/lib, /usr/local/lib and the "
        "interpreter's folder, for instance into a virtual environment of its own, or set RUNNER_PYTHON to another "
        "interpreter.",
    ),
    Fix(
        ("an interpreter that this user can read",),
        _always,
        "the code runs as another user than the runner's root: let everybody enter the folders above the interpreter "
        "(chmod o+x), or set RUNNER_PYTHON to one that everybody can read, as /usr/bin/python3, or start the runner as "
        "an ordinary user.",
    ),
    Fix(
        (STARTING,),
        lambda failure: failure.said_one_of("No module named", "SyntaxError", "ImportError"),
        "RUNNER_PYTHON has to be CPython 3.11 or newer with its whole standard library, and every module of "
        "RUNNER_PYTHON_PRELOAD.",
    ),
    Fix(
        (STARTING,),
        lambda failure: failure.said_one_of("must lie outside of"),
        "make the virtual environment elsewhere, as below /opt or /var/lib, or set RUNNER_PYTHON to another "
        "interpreter, as /usr/bin/python3.",
    ),
    Fix(
        (STARTING,),
        _always,
        "set RUNNER_PYTHON to the path of a Python of 3.11 or newer that the runner may start.",
    ),
    Fix(
        ("its cgroups",),
        _always,
        "the cgroups below the runner's own have to be its to write: with systemd, Delegate=cpu memory pids; else "
        "mount /sys/fs/cgroup read-only, and what boxes use is sampled.",
    ),
    Fix(
        ("seccomp", "no capabilities"),
        _always,
        "the kernel needs CONFIG_SECCOMP_FILTER, and a container's own seccomp profile has to allow seccomp, prctl, "
        "capset and close_range.",
    ),
    Fix(
        (PROOF,),
        _always,
        "do not run foreign code here: a wall stands, and does not hold. Please report it with the output of "
        "`taskandgo doctor --json`.",
    ),
    Fix(
        MOUNTS,
        _always,
        "mounts have to be allowed in a user namespace, and /tmp has to be a folder; look for what forbids it in the "
        "kernel's log (dmesg).",
    ),
    Fix(EVERY, _always, "look for what forbids it in the kernel's log (dmesg), and see docs/sandbox.md."),
)


def fix_of(failure: Failure) -> str:
    """What to do about it."""
    return next(fix.text for fix in FIXES if failure.step in fix.steps and fix.fits(failure))


def explain(failure: Failure) -> str:
    """What a runner that cannot start says."""
    return (
        f"isolation level {failure.level} cannot be given on this machine.\n"
        f"  failed: {failure.step}: {failure.said}\n"
        f"  fix: {fix_of(failure)}\n"
        "  All steps and probes: taskandgo doctor"
    )
