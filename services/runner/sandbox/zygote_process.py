"""A zygote as the runner holds it: started, asked for boxes, told what became of them, let go.

Promises: a zygote that does not answer is killed; when one dies, each of its boxes is reported dead once it is.
"""

import asyncio
import contextlib
import itertools
import os
import socket
from pathlib import Path

import structlog

from services.runner.sandbox.box import SandboxUnavailableError
from services.runner.sandbox.inside.plan import BoxPlan, ZygotePlan
from services.runner.sandbox.inside.wire import ANCILLARY_BYTES, PACKET_BYTES, tell
from services.runner.sandbox.interpreter import ENV, OPTIONS
from services.runner.sandbox.living_box import LivingBox, Report

PRODUCT = Path(__file__).parents[3]
BOOT = "import sys; sys.path[0] = sys.argv[2]; from services.runner.sandbox.inside.zygote import main; main()"
START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
COMPLAINT_BYTES = 4096
#: As many boxes are asked for at once; more requests than the kernel queues look as if the zygote did not answer.
ASKED_AT_ONCE = 16

log = structlog.get_logger()


class ZygoteGoneError(Exception):
    """The zygote died, or cannot make a box."""


class BoxRefusedError(ZygoteGoneError):
    """The zygote is well, but this box cannot be made."""


async def start_zygote(interpreter: str, plan: ZygotePlan) -> "ZygoteProcess":
    """A zygote that is ready; SandboxUnavailableError with the failing step if it cannot be."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        process = await _execute(interpreter, theirs)
    except OSError as error:
        ours.close()
        raise SandboxUnavailableError(f"the interpreter: {error.strerror}: {interpreter}") from error
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    zygote = ZygoteProcess(process, ours)
    try:
        with contextlib.suppress(BrokenPipeError):  # it ended already, and what it said is raised
            tell(ours, tuple(plan))
        async with asyncio.timeout(START_SECONDS):
            await zygote.ready
    except TimeoutError:
        await zygote.end()
        raise SandboxUnavailableError(f"{interpreter} did not become a zygote within {START_SECONDS:g} s") from None
    except BaseException:
        await zygote.end()
        raise
    return zygote


async def _execute(interpreter: str, channel: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(interpreter, *OPTIONS, "-c", BOOT, str(channel.fileno()), str(PRODUCT)),
        pass_fds=(channel.fileno(),),
        env=ENV,
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


class ZygoteProcess:
    """One zygote and its boxes."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._channel = channel
        #: Our end of a box's channel, and whom to tell of the box.
        self._asked: dict[int, tuple[socket.socket, asyncio.Future[LivingBox]]] = {}
        self._boxes: dict[int, LivingBox] = {}
        self._retired = False
        self._numbers = itertools.count()
        self._turns = asyncio.Semaphore(ASKED_AT_ONCE)
        self.made = 0
        #: It makes no more boxes, though some may still be dying.
        self.doomed = False
        self.ready: asyncio.Future[str] = self._loop.create_future()
        channel.setblocking(False)  # noqa: FBT003 - no keyword there
        self._loop.add_reader(channel, self._hear)
        self.gone = self._loop.create_task(self._until_gone())

    async def make(self, plan: BoxPlan, entries: tuple[int, ...]) -> LivingBox:
        """A new box, in the cgroups that `entries` lead to, with walls still going up; ZygoteGoneError if none."""
        async with self._turns:
            return await self._make(plan, entries)

    async def _make(self, plan: BoxPlan, entries: tuple[int, ...]) -> LivingBox:
        number = next(self._numbers)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        answer: asyncio.Future[LivingBox] = self._loop.create_future()
        self._asked[number] = (ours, answer)
        try:
            with theirs:
                tell(self._channel, (number, *plan), (theirs.fileno(), *entries))
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except BaseException as error:
            self._give_up(number, answer)
            if isinstance(error, TimeoutError | OSError):
                self.kill()
                raise ZygoteGoneError(f"the zygote does not answer: {error}") from error
            raise

    def _give_up(self, number: int, answer: "asyncio.Future[LivingBox]") -> None:
        if asked := self._asked.pop(number, None):
            asked[0].close()  # the box, if there will be one, ends by that
        elif answer.done() and not answer.cancelled() and not answer.exception():
            answer.result().abandon()

    def retire(self) -> None:
        """Make no more boxes, and end with the last one."""
        self._retired = True
        self._end_if_done()

    def kill(self) -> None:
        """End it, and with it all its boxes."""
        self.doomed = True
        for box in self._boxes.values():
            box.kill()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """End it, and with it all its boxes; return when they are gone."""
        self._retired = True
        self.kill()
        await self.gone

    def _end_if_done(self) -> None:
        if self._retired and not self._boxes:
            self.kill()

    def _hear(self) -> None:
        try:
            while True:
                packet, beside, _flags, _sender = self._channel.recvmsg(PACKET_BYTES, ANCILLARY_BYTES)
                if not packet:
                    break
                descriptors = memoryview(beside[0][2]).cast("i").tolist() if beside else []
                self._take(packet.decode(errors="replace"), descriptors)
        except BlockingIOError:
            return
        except OSError:
            pass  # it died; `_until_gone` does the rest
        self._loop.remove_reader(self._channel)

    def _take(self, words: str, descriptors: list[int]) -> None:
        kind, _, rest = words.partition(" ")
        if not self.ready.done():
            self._begin(kind, rest)
            return
        number, _, told = rest.partition(" ")
        match kind:
            case "made":
                self._answer(int(number), *descriptors)
            case "failed":
                self._refuse(int(number), BoxRefusedError(told))
            case "exited" if box := self._boxes.get(int(number)):
                code, cpu, peak = told.split()
                box.exited(Report(int(code), float(cpu), int(peak)))
            case "dead" if box := self._boxes.pop(int(number), None):
                box.died()
                self._end_if_done()

    def _begin(self, kind: str, told: str) -> None:
        if kind == "ready":
            self.ready.set_result(told)
        else:
            self.ready.set_exception(SandboxUnavailableError(told))

    def _answer(self, number: int, pidfd: int, main_pidfd: int) -> None:
        channel, answer = self._asked.pop(number, (None, None))
        if channel is None or answer is None:
            os.close(pidfd)  # nobody waits any more; the box ends, for its channel is closed
        else:
            # At once, for its end may be the next thing that is heard.
            box = self._boxes[number] = LivingBox(channel, pidfd, _number_of(main_pidfd), self.kill)
            self.made += 1
            if answer.done():
                box.abandon()
            else:
                answer.set_result(box)
        os.close(main_pidfd)

    def _refuse(self, number: int, why: Exception) -> None:
        if asked := self._asked.pop(number, None):
            channel, answer = asked
            channel.close()
            if not answer.done():
                answer.set_exception(why)

    async def _until_gone(self) -> None:
        assert self._process.stdout is not None
        said = (await self._process.stdout.read()).decode(errors="replace")[-COMPLAINT_BYTES:]
        code = await self._process.wait()
        self.doomed = True
        self._hear()
        if not self.ready.done():
            self.ready.set_exception(SandboxUnavailableError(said or f"the zygote ended with code {code}"))
        elif not (self._retired or self.ready.exception()):
            log.error("zygote.died", code=code, said=said)
        # Its boxes may hold the other end still, so that nothing told us to: and the number will be another's.
        self._loop.remove_reader(self._channel)
        self._channel.close()
        for number in list(self._asked):
            self._refuse(number, OSError("it died"))
        await asyncio.gather(*(box.orphaned() for box in self._boxes.values()))
        self._boxes.clear()


def _number_of(pidfd: int) -> int:
    told = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pid:"))
