"""The parent of boxes: a warm interpreter that holds no secret, forks a box whenever the runner asks, and reaps it.

Run by the runner as a program of its own, with an empty environment and one socket. Promises: single-threaded; it
never hears what a box runs; it dies with the runner, and every box dies with it.
"""

import gc
import os
import select
import socket
import sys
from importlib import import_module

from services.runner.sandbox.inside.level import Level, MadeBox, Ways
from services.runner.sandbox.inside.plan import STRICT, BoxPlan, ZygotePlan
from services.runner.sandbox.inside.privileges import die_with_parent, kill
from services.runner.sandbox.inside.restricted import Restricted
from services.runner.sandbox.inside.run_python import stand_by
from services.runner.sandbox.inside.step import Step
from services.runner.sandbox.inside.strict import Strict
from services.runner.sandbox.inside.wire import hear, say


class Zygote:
    """Forks and reaps boxes."""

    def __init__(self, channel: socket.socket, level: Level) -> None:
        self._channel = channel
        self._level = level
        self._poll = select.poll()
        #: The number of each box and its processes, by the descriptor of the one that runs its job while that lives.
        self._living: dict[int, tuple[int, MadeBox]] = {}
        #: The number of each box whose job has ended, by the descriptor of its first process.
        self._dying: dict[int, int] = {}

    def serve(self) -> None:
        """Do what the runner asks, and tell which boxes ended, until the runner is gone."""
        self._poll.register(self._channel, select.POLLIN)
        while True:
            for fd, _events in self._poll.poll():
                if fd in self._living:
                    self._reap(fd)
                elif fd in self._dying:
                    self._bury(fd)
                elif not self._answer():
                    return

    def _answer(self) -> bool:
        heard = hear(self._channel)
        if heard is None:
            return False
        (number, *plan), (descriptor, *entries) = heard
        with socket.socket(fileno=descriptor) as channel:
            self._make(number, BoxPlan(*plan), Ways(channel, entries))
        for entry in entries:
            os.close(entry)
        return True

    def _make(self, number: int, plan: BoxPlan, ways: Ways) -> None:
        step = Step()
        try:
            box = self._level.fork(ways, plan, step)
        except OSError as error:
            say(self._channel.fileno(), f"failed {number} {step.failed(error)}")
            return
        main = os.pidfd_open(box.main)
        self._living[main] = (number, box)
        self._poll.register(main, select.POLLIN)
        socket.send_fds(self._channel, [f"made {number}".encode()], [box.first, main])

    def _reap(self, main: int) -> None:
        number, box = self._living.pop(main)
        self._forget(main)
        _pid, status, used = os.wait4(box.main, 0)
        code = os.waitstatus_to_exitcode(status)
        # Told before the rest is dead: that takes longer than many a job.
        say(self._channel.fileno(), f"exited {number} {code} {used.ru_utime + used.ru_stime} {used.ru_maxrss * 1024}")
        kill(box.first)
        self._dying[box.first] = number
        self._poll.register(box.first, select.POLLIN)

    def _bury(self, first: int) -> None:
        number = self._dying.pop(first)
        self._forget(first)
        say(self._channel.fileno(), f"dead {number}")

    def _forget(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        os.close(pidfd)


def main() -> None:
    """Become a zygote: the socket's descriptor is the argument, and the plan comes over it."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    die_with_parent()
    heard = hear(channel)
    if heard is None:
        return
    plan = ZygotePlan(*heard[0])
    for name in plan.preload:
        import_module(name)
    level: Level = Strict(plan) if plan.level == STRICT else Restricted(plan)
    step = Step()
    try:
        level.enter(step)
    except OSError as error:
        say(channel.fileno(), f"refused {step.failed(error)}")
        return
    stand_by()
    gc.disable()
    gc.collect()
    gc.freeze()
    say(channel.fileno(), f"ready {step}")
    Zygote(channel, level).serve()
