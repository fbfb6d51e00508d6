"""A whole runner in a test: the real memory broker before it, real boxes behind it, and an ear for all that it says."""

from uuid import uuid4

from services.runner.settings import RunnerSettings
from taskandgo.broker.memory import MemoryBroker
from taskandgo.broker.topology import listener
from taskandgo.messages import ChunkFinished, ChunkReady
from taskandgo.settings import load
from taskandgo.task import AttemptResult
from taskandgo.words import Priority
from tests.messages_heard import Heard


class Running:
    """A runner, its broker and what it says."""

    def __init__(self, broker: MemoryBroker, heard: Heard) -> None:
        self.broker = broker
        self.heard = heard

    async def submit(self, code: str, language: str = "python", **fields: object) -> str:
        """Make a chunk ready; its task's id."""
        task_id = f"t-{uuid4().hex}"
        chunk = ChunkReady(
            task_id=task_id, chunk_index=0, chunk_count=1, attempt=1, priority=Priority.NORMAL, pool="default",
            language=language, code=code, **fields,  # type: ignore[arg-type]
        )  # fmt: skip
        await self.broker.publish(chunk)
        return task_id

    async def finished(self, task_id: str) -> ChunkFinished:
        """How the task's chunk ended."""
        wanted = await self.heard.first(lambda m: isinstance(m, ChunkFinished) and m.task_id == task_id)
        assert isinstance(wanted, ChunkFinished)
        return wanted

    async def result(self, code: str, language: str = "python", **fields: object) -> AttemptResult:
        """The result of a chunk."""
        return (await self.finished(await self.submit(code, language, **fields))).result


def settings(**more: object) -> RunnerSettings:
    """A runner's settings for tests."""
    return load(RunnerSettings, broker_url="memory://", runner_http_listen="", runner_slots=2, **more)


async def hear(broker: MemoryBroker) -> Heard:
    """Listen to all that runners say."""
    heard = Heard()
    await broker.consume(listener(f"test.{uuid4().hex}", "chunk.#", "runner.heartbeat"), heard, prefetch=1000)
    return heard
