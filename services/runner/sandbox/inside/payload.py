"""How a box's process becomes its job, up to the code's first instruction.

Promises: the code holds descriptors 0, 1 and 2 and no other; its limits cannot be raised; what goes wrong before its
first instruction is told on the box's channel, which is closed by then.
"""

import os
import signal
from collections.abc import Callable
from typing import NoReturn

from services.runner.sandbox.inside.plan import JobPlan
from services.runner.sandbox.inside.privileges import close_all_but, limit
from services.runner.sandbox.inside.run_python import run_python
from services.runner.sandbox.inside.wire import say

#: What Python ignores, and a program of its own expects to be as ever.
RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
NOT_STARTED = 127


def become_payload(job: JobPlan, descriptors: list[int], channel: int, confine: Callable[[str], None]) -> NoReturn:
    """Turn this process into the job's; `descriptors` are its three streams, and perhaps its program."""
    try:
        stdin, stdout, stderr, *program = descriptors
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.setsid()
        limit(0, job.limits)
        os.chdir(job.work)
        close_all_but(0, 1, 2, *sorted((channel, *program)))
        confine(job.work)
        if job.argv:
            for number in RESTORED:
                signal.signal(number, signal.SIG_DFL)
            # The channel and the program's descriptor are closed by the kernel, on exec.
            os.execve(program[0] if program else job.argv[0], job.argv, job.env)  # noqa: S606 - this is the box
    except BaseException as error:  # noqa: BLE001 - told, whatever it is; nobody above could
        say(channel, f"problem {error}")
        os._exit(NOT_STARTED)
    os.close(channel)
    run_python(job)
