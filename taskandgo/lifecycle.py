"""How a process runs and stops: on uvloop, until the first SIGTERM or SIGINT; a second one ends it at once."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Coroutine

import uvloop

from taskandgo.errors import TaskAndGoError

#: New objects between two looks for garbage; a busy service makes Python's own 700 in a millisecond.
GARBAGE_THRESHOLD = 20_000

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(main: Coroutine[object, object, None]) -> None:
    """Run a service to its end; what keeps it from running is said in a line, with exit code 1."""
    # What the imports made stays: looking through it for garbage again and again would cost a tenth of the time.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    except TaskAndGoError as error:
        print(f"taskandgo: {error}", file=sys.stderr)  # noqa: T201 - a person or a supervisor reads why it did not start
        sys.exit(1)


async def until_stopped() -> None:
    """Return at the first SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopped.is_set():
            os._exit(130)
        stopped.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    await stopped.wait()
