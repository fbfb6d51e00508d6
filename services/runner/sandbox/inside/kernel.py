"""The kernel's calls that the standard library does not offer.

Promises: a call that fails raises OSError with the kernel's errno and the call's name.
"""

import ctypes
import os

from services.runner.sandbox.inside.syscall_numbers import NUMBERS

PR_SET_NO_NEW_PRIVS = 38

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSCALL = _LIBC.syscall
_SYSCALL.restype = ctypes.c_long
# Without types, ctypes cuts an argument to 32 bits. A void pointer takes an int, bytes, None, byref() and an array.
_SYSCALL.argtypes = [ctypes.c_long, *[ctypes.c_void_p] * 6]
_UNUSED = (0, 0, 0, 0, 0, 0)

Argument = int | bytes | None | ctypes.Array[ctypes.c_char]


def syscall(number: int, *args: Argument) -> int:
    """Make the call with up to six arguments: numbers, or memory to point at; what it returned."""
    returned: int = _SYSCALL(number, *args, *_UNUSED[len(args) :])
    if returned == -1:
        raise _failed(number)
    return returned


def prctl(option: int, *args: int) -> int:
    """Change or ask for something about this process."""
    return syscall(NUMBERS["prctl"], option, *args)


def forbid_new_privileges() -> None:
    """From here on no exec gives this process, or one it makes, more rights than it has."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def _failed(number: int) -> OSError:
    errno = ctypes.get_errno()
    name = next((name for name, known in NUMBERS.items() if known == number), f"system call {number}")
    return OSError(errno, f"{name}: {os.strerror(errno)}")
