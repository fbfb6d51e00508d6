"""What ingest, dispatcher and runner export of themselves, after real calls and real tasks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from prometheus_client.parser import text_string_to_metric_families

from services.dispatcher.main import serve as serve_dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.ingest.main import serve as serve_ingest
from services.ingest.settings import IngestSettings
from services.runner.main import serve as serve_runner
from services.runner.settings import RunnerSettings
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.memory import MemoryBroker, open_memory
from taskandgo.broker.topology import listener
from taskandgo.messages import ChunkFinished
from taskandgo.rpc.client import connect
from taskandgo.settings import load
from taskandgo.store.connect import open_store
from taskandgo.task import AttemptResult
from taskandgo.telemetry.process_metrics import watching_process
from taskandgo.words import Outcome
from tests.messages_heard import Heard

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

ANY = "127.0.0.1:0"

Samples = dict[str, float]


@dataclass
class Services:
    """Three running services and a client."""

    stub: "SchedulerAsyncStub"
    broker: MemoryBroker
    ingest: str
    dispatcher: str
    runner: str

    async def run(self, task: api.Task) -> api.TaskStatus:
        """The final state of the task."""
        events = [event async for event in self.stub.RunTask(api.RunTaskRequest(task=task))]
        return events[-1].status


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(f"sqlite:///{tmp_path}/tasks.db"))
        broker = await stack.enter_async_context(open_memory())
        dispatcher = await stack.enter_async_context(
            serve_dispatcher(load(DispatcherSettings, dispatcher_http_listen=ANY), broker, store)
        )
        runner = await stack.enter_async_context(serve_runner(load(RunnerSettings, runner_http_listen=ANY), broker))
        settings = load(IngestSettings, ingest_grpc_listen=ANY, ingest_http_listen=ANY, blob_secret="a secret " * 4)
        ingest = await stack.enter_async_context(serve_ingest(settings, broker, store))
        stub = await stack.enter_async_context(connect(ingest.grpc_address))
        yield Services(stub, broker, ingest.http_address, dispatcher.http_address, runner.http_address)


async def samples(address: str) -> Samples:
    """Every sample, by its name and its labels' values in the order of the labels' names."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://{address}/metrics")).text
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {":".join([one.name, *(one.labels[key] for key in sorted(one.labels))]): one.value for one in found}


async def test_ingest_counts_calls_and_what_became_of_tasks(services: Services) -> None:
    task = api.Task(task_id="counted", priority="high", data="python:pass")
    await services.stub.SubmitTask(api.SubmitTaskRequest(task=task))
    await services.stub.SubmitTask(api.SubmitTaskRequest(task=task))
    task.data = "python:1"
    with pytest.raises(grpc.aio.AioRpcError):
        await services.stub.SubmitTask(api.SubmitTaskRequest(task=task))
    await services.stub.SubmitTasks(api.SubmitTasksRequest(tasks=[api.Task(data="nothing")]))

    found = await samples(services.ingest)

    assert found["taskandgo_ingest_calls_total:SubmitTask:OK"] == 2
    assert found["taskandgo_ingest_calls_total:SubmitTask:ALREADY_EXISTS"] == 1
    assert found["taskandgo_ingest_call_seconds_count:SubmitTask"] == 3
    assert found["taskandgo_tasks_accepted_total:python:high"] == 1
    assert found["taskandgo_tasks_refused_total:ALREADY_EXISTS"] == 1
    assert found["taskandgo_tasks_refused_total:INVALID_ARGUMENT"] == 1


async def test_ingest_counts_http_like_grpc_and_streams_while_they_are_open(services: Services) -> None:
    async with httpx.AsyncClient() as client:
        await client.get(f"http://{services.ingest}/tasks/nobody")
    task = api.Task(data="python:import time; time.sleep(30)")
    events = aiter(services.stub.RunTask(api.RunTaskRequest(task=task)))
    task_id = (await anext(events)).submitted.task_id
    open_now = await samples(services.ingest)
    await services.stub.CancelTask(api.CancelTaskRequest(task_id=task_id))
    async for _ in events:
        pass
    found = await samples(services.ingest)

    assert found["taskandgo_ingest_calls_total:GetTask:NOT_FOUND"] == 1
    assert open_now["taskandgo_ingest_streams_open"] == 1
    assert found["taskandgo_ingest_streams_open"] == 0
    assert found["taskandgo_ingest_calls_total:RunTask:OK"] == 1
    assert found["taskandgo_ingest_unconfirmed"] == 0


async def test_dispatcher_counts_what_it_emits_records_and_drops(services: Services) -> None:
    status = await services.run(api.Task(data="python:raise SystemExit(3)"))
    late = AttemptResult(outcome=Outcome.SUCCEEDED)
    again = ChunkFinished(
        task_id=status.task_id,
        chunk_index=0,
        attempt=1,
        runner="late",
        started_at=None,
        finished_at=status.finished_at.ToDatetime(),
        result=late,
    )
    await services.broker.publish(again)
    while (found := await samples(services.dispatcher)).get("taskandgo_results_dropped_total") != 1:
        pass

    assert found["taskandgo_chunks_emitted_total:default:normal"] == 1
    assert found["taskandgo_results_recorded_total:failed"] == 1
    assert found["taskandgo_dispatcher_message_seconds_count:dispatcher.task-submitted"] == 1


async def test_runner_counts_attempts_and_how_long_they_held_a_slot(services: Services) -> None:
    await services.run(api.Task(data="python:print('four')"))

    found = await samples(services.runner)

    assert found["taskandgo_runner_attempts_total:python:succeeded"] == 1
    assert found["taskandgo_runner_output_bytes_total"] == len("four\n")
    assert found["taskandgo_runner_slot_seconds_count"] == 1
    assert found["taskandgo_runner_slot_seconds_sum"] > 0
    assert found["taskandgo_runner_results_unpublished"] == 0
    assert found["taskandgo_runner_run_seconds_count:python:succeeded"] == 1
    assert found["taskandgo_runner_box_making_seconds_count"] >= 1
    # One made way for Go's library to be shown, if that was prepared already.
    assert found["taskandgo_runner_zygotes_replaced_total"] <= 1
    assert any(name.startswith("taskandgo_runner_isolation:strict:") for name in found)


async def test_dispatcher_counts_what_it_repeats(services: Services) -> None:
    await services.run(api.Task(data="python:1/0", retry=api.Retry(max_attempts=2, backoff=Duration(nanos=1000))))

    found = await samples(services.dispatcher)

    assert found["taskandgo_attempts_retried_total:failed"] == 1
    assert found["taskandgo_results_recorded_total:failed"] == 2


async def test_dispatcher_counts_second_attempts_at_stragglers_and_those_that_win(services: Services) -> None:
    # The first attempt at the last chunk would take for ever.
    code = "import os, time\nif os.environ['CHUNK_INDEX'] == '3' and os.environ['ATTEMPT'] == '1': time.sleep(60)"
    await services.run(api.Task(data=f"python:{code}", strategy="split", split=api.Split(chunks=4)))

    found = await samples(services.dispatcher)

    assert found["taskandgo_speculative_starts_total"] == 1
    assert found["taskandgo_speculative_wins_total"] == 1


async def test_runner_counts_what_code_used_and_programs_that_were_compiled_already(services: Services) -> None:
    program = "package main\nfunc main() {}"
    for _ in range(2):
        await services.run(api.Task(data=f"go:{program}"))

    found = await samples(services.runner)

    assert found["taskandgo_runner_compile_cache_lookups_total:miss"] == 1
    assert found["taskandgo_runner_compile_cache_lookups_total:hit"] == 1
    assert found["taskandgo_runner_code_peak_memory_bytes_count:go"] == 2
    assert found["taskandgo_runner_code_cpu_seconds_total:go"] > 0


async def test_ingest_counts_the_bytes_of_blobs(services: Services) -> None:
    async with httpx.AsyncClient() as client:
        await client.put(f"http://{services.ingest}/blobs", content=b"some input")

    found = await samples(services.ingest)

    assert found["taskandgo_ingest_blob_bytes_total:received"] == len("some input")


async def test_one_page_alone_shows_what_the_process_does_with_broker_and_store(services: Services) -> None:
    async with watching_process("dispatcher"):
        await services.run(api.Task(data="python:pass"))
        shown = {address: await samples(address) for address in (services.ingest, services.dispatcher)}

    found = shown[services.dispatcher]
    assert "process_resident_memory_bytes" not in shown[services.ingest]
    assert found["process_resident_memory_bytes"] > 0
    assert found["taskandgo_store_transaction_seconds_count:write"] > 0
    assert found["taskandgo_store_statement_seconds_count:insert"] > 0
    assert found["taskandgo_group_commit_size_count:record_endings"] > 0


async def test_what_a_runner_starts_of_a_cancelled_task_is_ended(services: Services) -> None:
    heard = Heard()
    queue = listener("test.finished", "chunk.finished")
    await services.broker.consume(queue, heard, prefetch=10)
    pool = {"runner_pool": "late", "runner_name": "late", "runner_http_listen": ""}
    task = api.Task(task_id="cancelled_before", pool="late", data="python:import time; time.sleep(60)")
    await services.stub.SubmitTask(api.SubmitTaskRequest(task=task))
    while not (await services.stub.GetTask(api.GetTaskRequest(task_id=task.task_id))).task.chunk_count:
        pass
    await services.stub.CancelTask(api.CancelTaskRequest(task_id=task.task_id))
    while (await samples(services.dispatcher)).get(
        "taskandgo_dispatcher_message_seconds_count:dispatcher.task-cancelled"
    ) != 1:
        pass

    async with serve_runner(load(RunnerSettings, **pool), services.broker):
        ended = await heard.first(lambda message: isinstance(message, ChunkFinished))

    assert isinstance(ended, ChunkFinished)
    assert ended.result.outcome is Outcome.CANCELLED
    assert (
        await services.stub.GetTask(api.GetTaskRequest(task_id=task.task_id))
    ).task.state == api.TASK_STATE_CANCELLED
