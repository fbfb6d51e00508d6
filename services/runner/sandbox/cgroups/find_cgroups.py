"""Finds where this runner may make cgroups for its boxes: where v2 limits memory there, else in v1."""

import os
from pathlib import Path

from services.runner.sandbox.cgroups.mounts import UNIFIED, own_groups
from services.runner.sandbox.cgroups.runner_cgroups import Cgroups, NoCgroups
from services.runner.sandbox.cgroups.v1 import CONTROLLERS, cgroups_v1
from services.runner.sandbox.cgroups.v2 import cgroups_v2

#: How many groups wait for a box where nobody says otherwise.
SPARE = 8


def find_cgroups(runner: str, spare: int = SPARE) -> Cgroups | NoCgroups:
    """A place for this runner's groups, what dead runners left there swept; or why there is none.

    Up to `spare` groups are kept that no box has.

    To be called before the runner starts other processes: with v2 it moves into a group from which they can be taken.
    """
    try:
        own = own_groups()
        if UNIFIED in own and "memory" in Path(own[UNIFIED], "cgroup.controllers").read_text().split():
            return cgroups_v2(own[UNIFIED], runner, spare)
        return _find_v1(own, runner, spare)
    except OSError as error:
        return NoCgroups(f"{error.strerror}: {error.filename}")


def _find_v1(own: dict[str, str], runner: str, spare: int) -> Cgroups | NoCgroups:
    here = {name: own[controller] for name, controller in CONTROLLERS.items() if controller in own}
    writable = {name: group for name, group in here.items() if os.access(group, os.W_OK)}
    if "memory" not in here:
        return NoCgroups("no cgroup that is mounted here can limit memory")
    if "memory" not in writable:
        return NoCgroups(f"{here['memory']} is read-only, or belongs to somebody else")
    return cgroups_v1(writable, runner, spare)
