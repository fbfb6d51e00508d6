"""The process of a box that waits for its job and becomes it.

Promises: it is confined before it hears of its job, and holds none of the ways to be heard when the code begins.
"""

import os
import socket
from _signal import SIG_DFL, SIG_UNBLOCK, SIGCHLD, pthread_sigmask, valid_signals
from _signal import signal as set_handler
from collections.abc import Callable
from typing import NoReturn

from services.runner.sandbox.inside.parcel import receive, write_files
from services.runner.sandbox.inside.payload import become_payload
from services.runner.sandbox.inside.step import Step
from services.runner.sandbox.inside.wire import say

EVERY_SIGNAL = tuple(valid_signals())


def be_box(
    channel: socket.socket, step: Step, close_walls: Callable[[], None], confine: Callable[[str], None]
) -> NoReturn:
    """Close the box's walls, say so, and become the job that comes; `confine` is told where it works."""
    try:
        close_walls()
        # As a program expects them, and not as a zygote has them. By the interpreter's own functions: those of the
        # module `signal` cost a hundred pages of memory in each box.
        set_handler(SIGCHLD, SIG_DFL)
        pthread_sigmask(SIG_UNBLOCK, EVERY_SIGNAL)
        say(channel.fileno(), f"ready {step}")
        parcel = receive(channel)
        if parcel is not None:
            write_files(parcel[0], parcel[1])
            become_payload(parcel[0], parcel[2], channel.fileno(), confine)
    except OSError as error:
        say(channel.fileno(), f"failed {step.failed(error)}")
    finally:
        os._exit(0)
