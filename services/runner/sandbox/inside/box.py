"""The process of a box that waits for its job and becomes it.

Promises: it is confined before it hears of its job, and holds none of the ways to be heard when the code begins.
"""

import os
import socket
from collections.abc import Callable
from typing import NoReturn

from services.runner.sandbox.inside.parcel import receive, write_files
from services.runner.sandbox.inside.payload import NOT_STARTED, become_payload
from services.runner.sandbox.inside.step import Step
from services.runner.sandbox.inside.wire import say


def be_box(
    channel: socket.socket, step: Step, close_walls: Callable[[], None], confine: Callable[[str], None]
) -> NoReturn:
    """Close the box's walls, say so, and become the job that comes; `confine` is told where it works."""
    try:
        close_walls()
        say(channel.fileno(), f"ready {step}")
        _take_job(channel, confine)
    except OSError as error:
        say(channel.fileno(), f"failed {step.failed(error)}")
    finally:
        os._exit(NOT_STARTED)


def _take_job(channel: socket.socket, confine: Callable[[str], None]) -> None:
    try:
        parcel = receive(channel)
        if parcel is None:
            return
        write_files(parcel)
    except (OSError, MemoryError) as error:
        say(channel.fileno(), f"problem the job does not fit into its box: {error or 'out of memory'}")
        return
    become_payload(parcel.job, parcel.descriptors, channel.fileno(), confine)
