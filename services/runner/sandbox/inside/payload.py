"""The process that submitted code has to itself, from its birth to the code's first instruction.

Promises: the code holds descriptors 0, 1 and 2 and no other; its limits cannot be raised; what goes wrong before its
first instruction is told through a pipe that it never sees.
"""

import os
import signal
from typing import NoReturn

from services.runner.sandbox.inside.plan import JobPlan
from services.runner.sandbox.inside.privileges import close_all_but, limit
from services.runner.sandbox.inside.run_python import run_python

NOT_STARTED = 127
#: What Python ignores, and a program of its own expects to be as ever.
RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)


def become_payload(job: JobPlan, descriptors: list[int], problems: int) -> NoReturn:
    """Turn this process into the job's; `descriptors` are its three streams, and perhaps its program."""
    try:
        arrange(job, descriptors, problems)
        if job.argv:
            _execute(job, descriptors)
    except BaseException as error:  # noqa: BLE001 - told, whatever it is; nobody above could
        os.write(problems, str(error).encode())
        os._exit(NOT_STARTED)
    os.close(problems)
    run_python(job)


def arrange(job: JobPlan, descriptors: list[int], problems: int) -> None:
    """Give this process the job's descriptors, limits and session."""
    for number in range(3):
        os.dup2(descriptors[number], number)
    close_all_but(0, 1, 2, problems, *descriptors[3:])
    os.setsid()
    limit(0, job.limits)


def _execute(job: JobPlan, descriptors: list[int]) -> NoReturn:
    for number in RESTORED:
        signal.signal(number, signal.SIG_DFL)
    _stdin, _stdout, _stderr, *program = descriptors
    os.execve(program[0] if program else job.argv[0], job.argv, job.env)  # noqa: S606 - this is the box
