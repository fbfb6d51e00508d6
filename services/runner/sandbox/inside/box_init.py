"""The first process of a box: takes one job, starts it, reaps whatever it leaves, tells how it ended, and is gone.

The kernel kills every other process of the box with it. Promises: it is confined as the code is before it hears of
the code; the code cannot signal it, look into it, nor speak on its channel.
"""

import os
import socket
import time
from collections.abc import Callable
from typing import NoReturn

from services.runner.sandbox.inside.parcel import Parcel, receive, write_files
from services.runner.sandbox.inside.payload import become_payload
from services.runner.sandbox.inside.privileges import hide_memory
from services.runner.sandbox.inside.step import Step
from services.runner.sandbox.inside.wire import say

PROBLEM_BYTES = 4096


def be_box(
    channel: socket.socket, step: Step, close_walls: Callable[[], None], serve: Callable[[socket.socket], None]
) -> NoReturn:
    """Be a box from its first moment to its last: close its walls, say so, and serve."""
    try:
        close_walls()
        say(channel.fileno(), f"ready {step}")
        serve(channel)
    except OSError as error:
        say(channel.fileno(), f"failed {step.failed(error)}")
    finally:
        os._exit(0)


def serve_one_job(channel: socket.socket) -> None:
    """Wait for a job, run it, and tell its end."""
    parcel = receive(channel)
    if parcel is not None:
        # Not sooner: who we are was written, by the zygote, into a file that is ours only while we can be looked into.
        hide_memory()
        write_files(parcel[0], parcel[1])
        say(channel.fileno(), _run(parcel))


def _run(parcel: Parcel) -> str:
    job, _contents, descriptors = parcel
    started = time.monotonic()
    problems, problems_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        become_payload(job, descriptors, problems_end)
    for fd in (problems_end, *descriptors):
        os.close(fd)
    if problem := os.read(problems, PROBLEM_BYTES):
        return f"problem {problem.decode(errors='replace')}"
    return _wait(pid, started)


def _wait(main: int, started: float) -> str:
    cpu_seconds, peak_kib = 0.0, 0
    while True:
        pid, status, used = os.wait4(-1, 0)
        cpu_seconds += used.ru_utime + used.ru_stime
        peak_kib = max(peak_kib, used.ru_maxrss)
        if pid == main:
            wall_seconds = time.monotonic() - started
            return f"exit {os.waitstatus_to_exitcode(status)} {wall_seconds} {cpu_seconds} {peak_kib * 1024}"
