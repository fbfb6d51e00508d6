"""Making room for groups below the runner's own one in cgroup v2.

A group that has processes cannot have groups with limits in it. So the runner moves what is in its own group, itself
included, into a leaf beside those of the boxes; it does so only where the group is its own to arrange.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from services.runner.sandbox.cgroups.emptying import members
from services.runner.sandbox.cgroups.files import write

#: The leaf that the runner and the processes beside it move into.
LEAF: Final = "taskandgo-runner"
DELEGATED: Final = ("trusted.delegate", "user.delegate")
NOT_DELEGATED: Final = (
    "the group is not delegated to the runner (start it in a container, or by systemd with Delegate=yes)"
)


def make_room(own: str) -> None:
    """Move whoever is in the group into its leaf; PermissionError if it is not ours to arrange."""
    if _is_root(own):
        return
    pids = members(own)
    if pids and not _is_ours(own):
        raise PermissionError(None, NOT_DELEGATED, own)
    Path(own, LEAF).mkdir(exist_ok=True)
    while pids:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                write(f"{own}/{LEAF}/cgroup.procs", str(pid))
        pids = members(own)


def _is_root(group: str) -> bool:
    """Whether it is the hierarchy's real root, in which processes may stay."""
    return not os.access(f"{group}/cgroup.type", os.F_OK)


def _is_ours(own: str) -> bool:
    """Whether the group is for its processes to arrange."""
    if not os.access(f"{own}/../cgroup.procs", os.F_OK):
        return True  # nothing above it is shown: a container, with a group to itself
    if os.geteuid() != 0:
        return os.access(f"{own}/cgroup.procs", os.W_OK)
    return any(_says_yes(own, name) for name in DELEGATED)


def _says_yes(own: str, name: str) -> bool:
    try:
        return os.getxattr(own, name) == b"1"
    except OSError:
        return False
