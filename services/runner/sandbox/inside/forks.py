"""The two ways a zygote makes a process, neither of which the standard library has.

Both end without SIGCHLD (wait for them with `WAIT_FOR`), so that a zygote may ignore that signal, and who inherits that:
the first process of a box has the kernel reap what loses its parent.
"""

import ctypes
import os
import struct

from services.runner.sandbox.inside.syscall_numbers import NUMBERS

CLONE_VM, CLONE_FILES, CLONE_PIDFD = 0x100, 0x400, 0x1000
#: How os.wait4 has to be asked for them (__WALL).
WAIT_FOR = 0x4000_0000
STACK_BYTES = 64 * 1024

# The interpreter's lock is held through the calls: there is one thread, and the child goes on with it.
_python = ctypes.PyDLL(None, use_errno=True)
_python.syscall.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t]
_python.syscall.restype = ctypes.c_long
_python.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_pause = ctypes.cast(_python.pause, ctypes.c_void_p)
#: All of them wait on the same stack: none ever returns to what it left there.
_stack = ctypes.create_string_buffer(STACK_BYTES)
_stack_top = ctypes.c_void_p((ctypes.addressof(_stack) + STACK_BYTES) & ~0xF)


def fork_pause(namespaces: int) -> tuple[int, int]:
    """A process in new namespaces that does nothing but wait to be killed: its number, and a descriptor of it.

    It is libc's pause(), in memory that it shares with us, so that making it copies nothing. It never wakes: the caller
    has every signal blocked, and nobody below can send the two that cannot be.
    """
    pidfd = ctypes.c_int(-1)
    flags = namespaces | CLONE_VM | CLONE_FILES | CLONE_PIDFD
    pid = _python.clone(_pause, _stack_top, flags, None, ctypes.byref(pidfd))
    if pid < 0:
        raise _failed("clone")
    return pid, pidfd.value


def fork() -> int:
    """As os.fork(), but for the signal at its end."""
    arguments = struct.pack("=8Q", 0, 0, 0, 0, 0, 0, 0, 0)
    _python.PyOS_BeforeFork()
    pid = _python.syscall(NUMBERS["clone3"], arguments, len(arguments))
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    failed = _failed("clone3") if pid < 0 else None
    _python.PyOS_AfterFork_Parent()
    if failed:
        raise failed
    return int(pid)


def _failed(name: str) -> OSError:
    errno = ctypes.get_errno()
    return OSError(errno, f"{name}: {os.strerror(errno)}")
