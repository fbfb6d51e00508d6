"""The program that a box runs to try the probes: what the probes may use, and how what they got is told.

It is never imported, and needs nothing but the standard library; its text is a job's main.py.
Standard input has one JSON object: `facts`, `numbers` (of system calls) and `probes`, pairs of name and program.
Of each probe it prints one JSON line: its name, and what it got, empty when it was refused.
"""

import contextlib
import ctypes
import errno
import importlib.util
import json
import mmap
import os
import resource
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
#: Six arguments that no call takes: a kernel that looks at them complains of something else than of a lack of rights.
NONSENSE = [ctypes.c_long(-1)] * 6
CAPABILITY_HEADER = struct.pack("=Ii", 0x20080522, 0)
#: For the probes.
USED = (importlib.util, mmap, resource, socket)

numbers: dict[str, int] = {}


def reaches(name: str) -> bool:
    """Whether the kernel looks at a call's arguments, which are nonsense."""
    ctypes.set_errno(0)
    returned = LIBC.syscall(ctypes.c_long(numbers[name]), *NONSENSE)
    return returned != -1 or ctypes.get_errno() not in REFUSED


def those(candidates: Iterable[Any], attempt: Callable[[Any], object]) -> list[Any]:
    """The candidates that the attempt succeeds with."""
    found = []
    for candidate in candidates:
        with contextlib.suppress(OSError):
            attempt(candidate)
            found.append(candidate)
    return found


def folder_of(path: str) -> list[str]:
    """What is in a folder; nothing if that is refused."""
    try:
        return os.listdir(path)  # noqa: PTH208 - no more modules than needed
    except OSError:
        return []


def beside(folder: str, shown: list[str]) -> list[str]:
    """What is to be seen in a folder, but for what is shown on purpose and the folders on the way there."""
    seen = []
    for path in (f"{folder.rstrip('/')}/{entry}" for entry in folder_of(folder)):
        if any(place.startswith(f"{path}/") for place in shown):
            seen += beside(path, shown)
        elif not any(f"{path}/".startswith(f"{place}/") for place in shown):
            seen.append(path)
    return seen


def starts(name: str) -> bool:
    """Whether a child, or a program that is not there, would start."""
    try:
        if name == "fork":
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            return True
        os.execve("/no/such/program", ["program"], {})  # noqa: S606 - it is not there
    except OSError as error:
        return error.errno not in REFUSED


def capabilities() -> list[str]:
    """The capabilities in force, or in reach."""
    words = (ctypes.c_uint32 * 6)()
    if LIBC.syscall(ctypes.c_long(numbers["capget"]), CAPABILITY_HEADER, words):
        raise OSError(ctypes.get_errno(), "capget")
    return [f"capabilities {list(words)}"] if any(words) else []


def prctl(option: int) -> int:
    """What prctl says to a question."""
    answer: int = LIBC.prctl(option, 0, 0, 0, 0)
    return answer


def tried(program: str, facts: dict[str, Any]) -> str:
    """What a probe got; that it could not be tried counts as something, for nothing is proved then."""
    scope = {**globals(), **facts, "got": []}
    try:
        exec(program, scope)  # noqa: S102 - this is the box
    except OSError:
        pass
    except Exception as error:  # noqa: BLE001 - told
        return f"could not be tried: {type(error).__name__}: {error}"
    return str(scope["got"]) if scope["got"] else ""


def main() -> None:
    """Try every probe."""
    given = json.load(sys.stdin)
    numbers.update(given["numbers"])
    for name, program in given["probes"]:
        print(json.dumps([name, tried(program, given["facts"])]), flush=True)  # noqa: T201 - that is how it tells


if __name__ == "__main__":
    main()
