"""A job as it arrives in a box: a file in memory with the plan and the job's files, and the job's descriptors."""

import marshal
import os
import socket
from typing import NamedTuple

from services.runner.sandbox.inside.plan import JobPlan
from services.runner.sandbox.inside.wire import PARCEL_BYTES, hear

EXECUTABLE = 0o755
#: A job's files may be larger than the memory that it may use, which already holds for whoever writes them.
WRITE_BYTES = 1024 * 1024


class Parcel(NamedTuple):
    """The plan; the file that holds the contents of the plan's files from `start` on; three streams, and a program."""

    job: JobPlan
    packed: int
    start: int
    descriptors: list[int]


def receive(channel: socket.socket) -> Parcel | None:
    """The next job: what is told is the size of its plan; None once the runner is gone."""
    heard = hear(channel, PARCEL_BYTES)
    if heard is None:
        return None
    plan_bytes, (packed, *descriptors) = heard
    job = JobPlan(*marshal.loads(os.pread(packed, plan_bytes, 0)))  # noqa: S302 - from the runner only
    return Parcel(job, packed, plan_bytes, descriptors)


def write_files(parcel: Parcel) -> None:
    """Put the job's files into its working directory."""
    start = parcel.start
    for name, size in parcel.job.files:
        fd = os.open(f"{parcel.job.work}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, EXECUTABLE)
        end = start + size
        while start < end:
            start += os.write(fd, os.pread(parcel.packed, min(end - start, WRITE_BYTES), start))
        os.close(fd)
    os.close(parcel.packed)
