"""The table of the kernel's calls, against this machine's headers and what is known by hand."""

import re
from pathlib import Path

import pytest

from services.runner.sandbox.inside import syscall_policy
from services.runner.sandbox.inside.syscall_numbers import MACHINES, TABLE, numbers_on

X86_64_HEADERS = [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")]
GENERIC_HEADER = Path("/usr/include/asm-generic/unistd.h")
#: What the generic header has for other machines: those with 32 bits, and ones that pass arguments differently.
ONLY_ON_OTHERS = re.compile(r"sync_file_range2|syscalls|arch_specific_syscall|\w+_time64|(clock|timer|timerfd)_\w+64")
BY_HAND = {
    "x86_64": {"read": 0, "open": 2, "mmap": 9, "clone": 56, "execve": 59, "ptrace": 101, "prctl": 157, "openat": 257},
    "aarch64": {"read": 63, "openat": 56, "mmap": 222, "clone": 220, "execve": 221, "ptrace": 117, "prctl": 167},
}
#: Calls newer than 5.0 have the same number everywhere.
NEW = {"pidfd_send_signal": 424, "pidfd_open": 434, "clone3": 435, "openat2": 437, "landlock_restrict_self": 446} | {
    "memfd_secret": 447,
    "fchmodat2": 452,
    "statmount": 457,
    "mseal": 462,
    "open_tree_attr": 467,
    "file_setattr": 469,
}


def defined(header: Path, pattern: str) -> dict[str, int]:
    """The numbers that a header defines."""
    found = re.findall(rf"^#define {pattern}(\w+)\s+(\d+)\s*$", header.read_text(), re.MULTILINE)
    return {name: int(number) for name, number in found}


def test_every_entry_has_a_name_and_a_number() -> None:
    entries = TABLE.split()
    assert all(re.fullmatch(r"[a-z0-9_]+:\d*:\d*", entry, re.ASCII) for entry in entries)
    assert len({entry.split(":")[0] for entry in entries}) == len(entries)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_number_is_there_twice(machine: str) -> None:
    numbers = list(numbers_on(machine).values())
    assert len(set(numbers)) == len(numbers) > 300


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_known_by_hand(machine: str) -> None:
    numbers = numbers_on(machine)
    known = BY_HAND[machine] | NEW
    assert {name: numbers.get(name) for name in known} == known


def test_this_machines_headers_say_the_same_of_x86_64() -> None:
    header = next((path for path in X86_64_HEADERS if path.exists()), None)
    if header is None:
        pytest.skip("no x86_64 headers on this machine")
    table = numbers_on("x86_64")
    theirs = defined(header, "__NR_")
    assert {name: table.get(name) for name in theirs} == theirs


def test_this_machines_headers_say_the_same_of_aarch64() -> None:
    if not GENERIC_HEADER.exists():
        pytest.skip("no generic headers on this machine")
    theirs = defined(GENERIC_HEADER, "__NR_") | defined(GENERIC_HEADER, "__NR3264_")
    theirs["newfstatat"] = theirs.pop("fstatat")
    table = numbers_on("aarch64")
    known = {name: number for name, number in theirs.items() if not ONLY_ON_OTHERS.fullmatch(name)}
    assert {name: table.get(name) for name in known} == known


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(KeyError):
        numbers_on("s390x")


def test_every_call_that_a_policy_names_is_in_the_table() -> None:
    policies = [syscall_policy.strict(unix_sockets=True), syscall_policy.restricted()]
    named = {name for policy in policies for name in (*policy.allowed, *policy.rules, *policy.answers)}
    assert named - set(numbers_on("x86_64")) - set(numbers_on("aarch64")) == set()
