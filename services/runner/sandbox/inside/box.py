"""The processes of a box: the one that runs its job, and the silent first one whose end is the box's end.

Promises: a job's process is confined before it hears of its job, and holds none of the ways to be heard when the code
begins; whatever a job leaves running dies with the first process.
"""

import os
import signal
import socket
from _signal import SIG_IGN, pthread_sigmask
from _signal import signal as set_handler
from collections.abc import Callable
from typing import NoReturn

from services.runner.sandbox.inside.parcel import receive, write_files
from services.runner.sandbox.inside.payload import become_payload
from services.runner.sandbox.inside.privileges import close_all_but, die_with_parent
from services.runner.sandbox.inside.step import Step
from services.runner.sandbox.inside.wire import say

# The interpreter's own functions, and plain numbers: those of `signal` cost a hundred pages of memory in each box.
SIGCHLD = int(signal.SIGCHLD)
SIG_BLOCK = int(signal.SIG_BLOCK)
EVERY_SIGNAL = tuple(int(number) for number in signal.valid_signals())


def be_first() -> NoReturn:
    """Be the first process of a box, which adopts what loses its parent, and does nothing."""
    try:
        close_all_but()
        pthread_sigmask(SIG_BLOCK, EVERY_SIGNAL)
        set_handler(SIGCHLD, SIG_IGN)
        die_with_parent()
        while True:
            signal.pause()
    finally:
        os._exit(1)


def be_box(
    channel: socket.socket, step: Step, close_walls: Callable[[], None], confine: Callable[[str], None]
) -> NoReturn:
    """Close the box's walls, say so, and become the job that comes; `confine` is told where it works."""
    try:
        close_walls()
        say(channel.fileno(), f"ready {step}")
        parcel = receive(channel)
        if parcel is not None:
            write_files(parcel[0], parcel[1])
            become_payload(parcel[0], parcel[2], channel.fileno(), confine)
    except OSError as error:
        say(channel.fileno(), f"failed {step.failed(error)}")
    finally:
        os._exit(0)
