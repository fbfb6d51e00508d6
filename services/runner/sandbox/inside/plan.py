"""What a zygote is told at its start, and what a box is told about its job: values that the runner fills in."""

from typing import NamedTuple

STRICT, RESTRICTED = "strict", "restricted"

#: A limit of one process: which of `resource`'s limits, and its value.
Limit = tuple[int, int]


class ZygotePlan(NamedTuple):
    """How the boxes of one zygote are made.

    `shown` are folders of the host and where they are in a box; `masked` is what is hidden in a box; `uid` is who a
    zygote becomes that is started by root; `preload` are modules that it keeps warm.
    """

    level: str
    shown: list[tuple[str, str]]
    masked: list[str]
    uid: int
    preload: list[str]


class BoxPlan(NamedTuple):
    """What one box is made with: the size of its file system, and the most that any process of it may have."""

    disk_bytes: int
    limits: list[Limit]


class JobPlan(NamedTuple):
    """What a box runs: `argv` by exec or, when that is empty, main.py in the warm interpreter.

    `files` are names and sizes of what follows the plan in its parcel; `limits` are those that are narrower
    than the box's; `work` is the working directory.
    """

    argv: list[str]
    env: dict[str, str]
    files: list[tuple[str, int]]
    limits: list[Limit]
    work: str
