"""Which rights a version of Landlock knows: asking it for more is an error, for fewer is a hole."""

import struct

import pytest

from services.runner.sandbox.inside import landlock
from services.runner.sandbox.inside.landlock import READ, READ_WRITE, rights_known, ruleset_attributes


@pytest.mark.parametrize(
    ("version", "rights"),
    [(1, 13), (2, 14), (3, 15), (4, 15), (5, 16), (6, 16), (7, 16), (8, 16), (9, 17), (99, 17)],
)
def test_every_version_brings_its_rights(version: int, rights: int) -> None:
    assert rights_known(version) == (1 << rights) - 1


@pytest.mark.parametrize(
    ("version", "tail"), [(1, ()), (3, ()), (4, (0b11,)), (5, (0b11,)), (6, (0b11, 0b11)), (9, (0b11, 0b11))]
)
def test_the_kernel_is_told_all_that_it_knows(version: int, tail: tuple[int, ...]) -> None:
    assert ruleset_attributes(version) == struct.pack(f"={1 + len(tail)}Q", rights_known(version), *tail)


def test_reading_changes_nothing_and_writing_makes_no_device() -> None:
    changing = rights_known(99) & ~(READ | landlock.EXECUTE)
    assert READ & changing == 0
    assert READ_WRITE & landlock.EXECUTE == 0
    refused = landlock.FS_MAKE_CHAR | landlock.FS_MAKE_BLOCK | landlock.FS_IOCTL_DEV | landlock.FS_RESOLVE_UNIX
    assert READ_WRITE & refused == 0
    assert READ_WRITE | refused | landlock.EXECUTE == rights_known(99)
