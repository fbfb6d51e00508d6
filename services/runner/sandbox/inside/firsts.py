"""The first processes of boxes: each does nothing but wait, adopt what loses its parent, and end its box with itself.

They are libc's pause(), in memory shared with the one who makes them, so that making one copies nothing. Their maker is
a process of its own, because they inherit that it ignores SIGCHLD (the kernel then reaps what they adopt), and a zygote
that ignored it would never hear how a job ended. Promises: a first process runs no code of ours or of a job's.
"""

import ctypes
import os
import signal
import socket

from services.runner.sandbox.inside.namespaces import OF_A_BOX
from services.runner.sandbox.inside.privileges import close_all_but, die_with_parent

CLONE_VM, CLONE_FILES, CLONE_PIDFD = 0x100, 0x400, 0x1000
STACK_BYTES = 64 * 1024
DESCRIPTOR_SPACE = socket.CMSG_SPACE(4)
WORDS_BYTES = 256

_libc = ctypes.CDLL(None, use_errno=True)
_libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_pause = ctypes.cast(_libc.pause, ctypes.c_void_p)


class Firsts:
    """Makes first processes."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            if os.fork() == 0:
                _serve(theirs)

    def make(self) -> int:
        """A first process in new namespaces of a box, by a descriptor of it."""
        self._channel.send(b"one")
        words, beside, _flags, _sender = self._channel.recvmsg(WORDS_BYTES, DESCRIPTOR_SPACE)
        if not words:
            raise SystemExit("the maker of first processes died")  # with the zygote: the runner starts another
        if not beside:
            raise OSError(words.decode())
        descriptor: int = memoryview(beside[0][2]).cast("i")[0]
        return descriptor


def _serve(channel: socket.socket) -> None:
    try:
        die_with_parent()
        close_all_but(0, 1, 2, channel.fileno())
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        # They all wait on one stack: none ever returns to what it left there.
        stack = ctypes.create_string_buffer(STACK_BYTES)
        top = ctypes.c_void_p((ctypes.addressof(stack) + STACK_BYTES) & ~0xF)
        while channel.recv(WORDS_BYTES):
            _make(channel, top)
    finally:
        os._exit(0)


def _make(channel: socket.socket, stack_top: ctypes.c_void_p) -> None:
    pidfd = ctypes.c_int(-1)
    flags = OF_A_BOX | CLONE_VM | CLONE_FILES | CLONE_PIDFD | int(signal.SIGCHLD)
    if _libc.clone(_pause, stack_top, flags, None, ctypes.byref(pidfd)) < 0:
        channel.send(os.strerror(ctypes.get_errno()).encode())
        return
    socket.send_fds(channel, [b"made"], [pidfd.value])
    os.close(pidfd.value)
