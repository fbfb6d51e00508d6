"""A job as it arrives in a box: a file in memory with the plan and the job's files, and the job's descriptors."""

import marshal
import os
import socket

from services.runner.sandbox.inside.plan import JobPlan
from services.runner.sandbox.inside.wire import PARCEL_BYTES, hear

EXECUTABLE = 0o755

#: The plan, the bytes of its files, and the job's descriptors: three streams and perhaps the program to run.
Parcel = tuple[JobPlan, bytes, list[int]]


def receive(channel: socket.socket) -> Parcel | None:
    """The next job: what is told is the sizes of its plan and of its files; None once the runner is gone."""
    heard = hear(channel, PARCEL_BYTES)
    if heard is None:
        return None
    (plan_bytes, file_bytes), (packed, *descriptors) = heard
    plan = JobPlan(*marshal.loads(os.pread(packed, plan_bytes, 0)))  # noqa: S302 - from the runner only
    contents = os.pread(packed, file_bytes, plan_bytes)
    os.close(packed)
    return plan, contents, descriptors


def write_files(job: JobPlan, contents: bytes) -> None:
    """Put the job's files into its working directory."""
    start = 0
    for name, size in job.files:
        fd = os.open(f"{job.work}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, EXECUTABLE)
        end = start + size
        while start < end:
            start += os.write(fd, contents[start:end])
        os.close(fd)
