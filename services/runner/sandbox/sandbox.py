"""The product's own sandbox: a box for each job, made by a warm zygote at the level the runner was told to give.

Promises: a runner gets the level that it asked for or `SandboxUnavailableError`, which names the failing step and its
fix; the level is never lowered; when `run` returns or raises, nothing of the job is left.
"""

import asyncio
import resource
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.runner.sandbox.box import (
    WORK,
    BoxEnd,
    BoxJob,
    BoxLimits,
    Cancellable,
    EndedBy,
    OutputWatcher,
    SandboxUnavailableError,
)
from services.runner.sandbox.events import SandboxEvents
from services.runner.sandbox.failure import failure_of
from services.runner.sandbox.fixes import explain
from services.runner.sandbox.inside.plan import RESTRICTED, BoxPlan, JobPlan, Limit, ZygotePlan
from services.runner.sandbox.interpreter import SYSTEM, Interpreter, examine
from services.runner.sandbox.machine import look_at_machine
from services.runner.sandbox.meter import Meters
from services.runner.sandbox.prove_isolation import prove_isolation, require
from services.runner.sandbox.ready_boxes import ReadyBoxes
from services.runner.sandbox.run_job import RunJob
from services.runner.sandbox.zygote_process import PRODUCT, ZygoteGoneError
from taskandgo.telemetry.tracing import step
from taskandgo.words import Stream

PACKAGES = ("services", "taskandgo")
#: What a runtime may reserve beyond what it uses; a box is made with it, and Python gives it up.
LARGEST_EXTRA_BYTES = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SandboxPlan:
    """What boxes are to be like: their level, who they run as, the interpreter and its warm modules, usual limits."""

    level: str
    uid: int
    interpreter: str
    preload: tuple[str, ...]
    slots: int
    limits: BoxLimits
    runner: str


class Sandbox:
    """Runs each job in a box of its own."""

    def __init__(self, plan: SandboxPlan, interpreter: Interpreter, events: SandboxEvents) -> None:
        self._plan = plan
        #: Folders of the host by their place in a box.
        self._shown = interpreter.shown
        self._usual = BoxPlan(plan.limits.disk_bytes, self._rlimits(plan.limits, LARGEST_EXTRA_BYTES))
        self._meters = Meters(plan.runner, plan.slots)
        self._boxes = ReadyBoxes(
            interpreter.path, self._zygote_plan(), self._meters, plan.slots, self._usual, events=events
        )
        self.steps = ""

    @property
    def isolation(self) -> str:
        """The level."""
        return self._plan.level

    @property
    def shown(self) -> list[str]:
        """Where jobs see folders of the host, besides the system's own."""
        return list(self._shown)

    @property
    def metering(self) -> str:
        """How what a box uses is limited and counted: cgroup-v1, cgroup-v2 or sampled."""
        return self._meters.kind

    @property
    def metering_explained(self) -> str:
        """The same for a person, with the reason where there are no cgroups."""
        return self._meters.described

    @property
    def boxes_ready(self) -> int:
        """How many boxes wait for a job."""
        return len(self._boxes)

    async def open(self) -> None:
        """Start the zygotes; SandboxUnavailableError if they cannot be."""
        self.steps = await self._boxes.open()
        self._boxes.refill()

    async def close(self) -> None:
        """End whatever still runs."""
        await self._boxes.close()
        self._meters.close()

    async def show(self, folders: dict[str, str]) -> None:
        """Let every job from now on read these folders of the host, each in the place that is given with it."""
        before = self._shown
        self._shown = before | {inside: outside for outside, inside in folders.items()}
        try:
            await self._boxes.replace(self._zygote_plan())
        except ZygoteGoneError as error:
            self._shown = before
            raise SandboxUnavailableError(f"{', '.join(folders)} cannot be shown to boxes: {error}") from error

    async def run(self, job: BoxJob, watch: OutputWatcher | None = None, handle: Cancellable | None = None) -> BoxEnd:
        """Run the job to its end; cancelling the caller kills it."""
        limits = self._rlimits(job.limits, job.extra_address_bytes)
        made = self._box_plan(job, limits)
        try:
            with step("start sandbox"):
                box, meter = await self._boxes.take(made)
        except ZygoteGoneError as error:
            return BoxEnd(None, EndedBy.SETUP, problem=str(error))
        narrower = [limit for limit in limits if limit not in made.limits]
        try:
            with self._files(job) as (work, files):
                plan = JobPlan(
                    list(job.argv), job.env, [(name, len(data)) for name, data in files.items()], narrower, work
                )
                with step("run in sandbox"):
                    return await RunJob(box, meter, job, watch or _unwatched).run(plan, tuple(files.values()), handle)
        finally:
            await asyncio.shield(self._boxes.bury(box, meter))

    def _rlimits(self, limits: BoxLimits, extra_address_bytes: int) -> list[Limit]:
        # Without namespaces the kernel counts the processes and threads of all boxes together.
        counted = self._plan.slots + 1 if self._plan.level == RESTRICTED else 1
        wanted = [
            # A single process ends by itself if whoever watches them all is late.
            (resource.RLIMIT_CPU, int(limits.cpu_seconds) + 2),
            (resource.RLIMIT_DATA, limits.memory_bytes + extra_address_bytes),
            (resource.RLIMIT_NPROC, (limits.processes + 1) * counted),
            (resource.RLIMIT_NOFILE, limits.open_files),
            (resource.RLIMIT_FSIZE, limits.disk_bytes),
        ]
        return [(kind, _within_ours(kind, value)) for kind, value in wanted]

    def _box_plan(self, job: BoxJob, limits: list[Limit]) -> BoxPlan:
        """The usual box where the job's limits fit into it: they can be made narrower later, never wider."""
        usual = dict(self._usual.limits)
        if job.limits.disk_bytes == self._usual.disk_bytes and all(value <= usual[kind] for kind, value in limits):
            return self._usual
        return BoxPlan(job.limits.disk_bytes, limits)

    @contextmanager
    def _files(self, job: BoxJob) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Where the job works, and the files that its box has to write there."""
        if self._plan.level != RESTRICTED:
            yield WORK, job.files
            return
        # The code can only read there, so that the folder holds what we wrote and nothing else when it is removed.
        with tempfile.TemporaryDirectory(prefix="taskandgo-") as folder:
            Path(folder).chmod(0o755)
            for name, data in job.files.items():
                Path(folder, name).write_bytes(data)
            yield folder, {}

    def _zygote_plan(self) -> ZygotePlan:
        seen = {SYSTEM: SYSTEM, **self._shown}
        masked = [
            inside + str(package).removeprefix(folder)
            for package in (PRODUCT.resolve() / name for name in PACKAGES)
            for inside, folder in seen.items()
            if package.is_relative_to(folder)
        ]
        plan = self._plan
        shown = [(outside, inside) for inside, outside in self._shown.items()]
        return ZygotePlan(plan.level, shown, masked, plan.uid, list(plan.preload))


@asynccontextmanager
async def open_sandbox(plan: SandboxPlan, events: SandboxEvents | None = None) -> AsyncIterator[Sandbox]:
    """A sandbox whose boxes are proved to hold, open while the context lasts; SandboxUnavailableError says the fix."""
    sandbox = Sandbox(plan, await examine(plan.interpreter, plan.preload), events or SandboxEvents())
    try:
        await _prove(sandbox, plan)
        yield sandbox
    finally:
        await sandbox.close()


async def _prove(sandbox: Sandbox, plan: SandboxPlan) -> None:
    try:
        await sandbox.open()
        findings = await prove_isolation(sandbox, plan.limits)
        require(findings)
    except SandboxUnavailableError as error:
        failure = failure_of(plan.level, str(error), look_at_machine())
        raise SandboxUnavailableError(explain(failure)) from error


def _within_ours(kind: int, value: int) -> int:
    """A box's limit cannot be wider than our own hard one."""
    ours = resource.getrlimit(kind)[1]
    return value if ours == resource.RLIM_INFINITY else min(value, ours)


def _unwatched(stream: Stream, offset: int, data: bytes) -> None:
    del stream, offset, data
