"""Where the kernel shows this process's own cgroups, from /proc/self/cgroup and /proc/self/mountinfo.

Groups of boxes are made below the runner's own: whatever limit stands around the runner holds for its boxes too.
"""

import re
from collections.abc import Iterator
from pathlib import Path

#: The name under which the one hierarchy of cgroup v2 is found; v1's are found under their controllers' names.
UNIFIED = "unified"


def own_groups() -> dict[str, str]:
    """The directory of this process's group by hierarchy."""
    return parse_own_groups(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())


def parse_own_groups(cgroup: str, mountinfo: str) -> dict[str, str]:
    """The same, of these files' text."""
    paths = dict(_paths(cgroup))
    found: dict[str, str] = {}
    for name, root, mounted in _mounts(mountinfo):
        below = _below(root, paths.get(name))
        if below is not None:
            found.setdefault(name, mounted + below)
    return found


def _paths(cgroup: str) -> Iterator[tuple[str, str]]:
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else (UNIFIED,):
            yield name, path


def _mounts(mountinfo: str) -> Iterator[tuple[str, str, str]]:
    for line in mountinfo.splitlines():
        mount, _, kind = line.partition(" - ")
        root, mounted = (_unescaped(word) for word in mount.split(" ")[3:5])
        kind, _, options = kind.split(" ", 2)
        if kind == "cgroup2":
            yield UNIFIED, root, mounted
        elif kind == "cgroup":
            for name in options.split(","):
                yield name, root, mounted


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), word)


def _below(root: str, path: str | None) -> str | None:
    """The group's path below the mount point; None if the mount does not show it."""
    if path is None or path.startswith("/..") or not f"{path}/".startswith(f"{root.rstrip('/')}/"):
        return None
    return path[len(root.rstrip("/")) :].rstrip("/")
