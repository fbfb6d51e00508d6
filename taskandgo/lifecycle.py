"""How a process runs and stops: on uvloop, until the first SIGTERM or SIGINT; a second one ends it at once."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Coroutine

import uvloop

from taskandgo.errors import TaskAndGoError
from taskandgo.telemetry.tracing import tracing

#: New objects between two looks for garbage; a busy service makes Python's own 700 in a millisecond.
GARBAGE_THRESHOLD = 20_000

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(main: Coroutine[object, object, None], service: str) -> None:
    """Run a service to its end; what keeps it from running is said in a line, with exit code 1.

    Its spans are exported under its name, if the environment asks for traces.
    """
    try:
        # Around the loop, so that what is left is sent when nothing runs any more that would have to wait for it.
        with tracing(service), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            # What the imports made stays: looking through it for garbage again and again costs a tenth of the time.
            gc.freeze()
            gc.set_threshold(GARBAGE_THRESHOLD)
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
