"""A reduce whose input no broker would take as a message ends its task and says so, instead of never being emitted."""

from datetime import UTC, datetime
from pathlib import Path

from services.dispatcher.main import serve as serve_dispatcher
from services.dispatcher.settings import DispatcherSettings
from taskandgo.broker.broker import Ack, Delivery, Disposition
from taskandgo.broker.memory import open_memory
from taskandgo.broker.topology import runner_chunk_ready
from taskandgo.messages import ChunkFinished, ChunkReady, TaskSubmitted, decode
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.task import AttemptResult, Code, Split
from taskandgo.words import Outcome, Strategy, TaskState
from tests.integration.test_reconcile import accept, end_of

MIB = 1024 * 1024
#: No text, so that each byte takes several of JSON.
OUTPUT = b"\xff" * (2 * MIB)


async def test_outputs_that_grow_too_large_as_json_are_refused(tmp_path: Path) -> None:
    settings = load(DispatcherSettings, dispatcher_http_listen="", broker_url="memory://", store_url="sqlite:///none")
    emitted: list[ChunkReady] = []

    async def run(delivery: Delivery) -> Disposition:
        message = decode(delivery.body)
        assert isinstance(message, ChunkReady)
        emitted.append(message)
        await broker.publish(ended(message))
        return Ack()

    async with (
        open_store(f"sqlite:///{tmp_path}/tasks.db") as store,
        open_memory() as broker,
        serve_dispatcher(settings, broker, store),
    ):
        await broker.consume(runner_chunk_ready("default"), run, prefetch=10)
        reduce = Code(language="python", code="print(1)")
        spec = await accept(store, strategy=Strategy.SPLIT, split=Split(chunks=2, reduce=reduce))
        await broker.publish(TaskSubmitted(task=spec))
        record = await end_of(store, spec.task_id)

    assert record.state is TaskState.FAILED
    assert record.result
    assert record.result.outcome is Outcome.OUTPUT_LIMIT
    assert "BLOB_SECRET" in record.result.reason
    assert [message.chunk_index for message in emitted] == [0, 1]


def ended(chunk: ChunkReady) -> ChunkFinished:
    return ChunkFinished(
        task_id=chunk.task_id,
        chunk_index=chunk.chunk_index,
        attempt=chunk.attempt,
        runner="r",
        started_at=datetime.now(UTC),
        finished_at=datetime.now(UTC),
        result=AttemptResult(outcome=Outcome.SUCCEEDED, exit_code=0, stdout=OUTPUT),
    )
