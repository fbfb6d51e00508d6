"""How a process runs and stops: on uvloop, until the first SIGTERM or SIGINT; a second one ends it at once."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine

import uvloop

from taskandgo.errors import TaskAndGoError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(main: Coroutine[object, object, None]) -> None:
    """Run a service to its end; what keeps it from running is said in a line, with exit code 1."""
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
