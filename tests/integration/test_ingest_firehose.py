"""An ingest that nobody works for, so that its queue only grows: many tasks at once, streams, and too many."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.ingest.main import IngestService, serve
from services.ingest.settings import IngestSettings
from services.ingest.stream_tasks import MOST_OUTSTANDING
from taskandgo.api import scheduler_pb2 as api
from taskandgo.broker.connect import open_broker
from taskandgo.rpc.client import connect
from taskandgo.settings import load
from taskandgo.store.connect import open_store

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

GOOD = "python:print(1)"

Ingest = tuple["SchedulerAsyncStub", IngestService]
MakeIngest = Callable[..., AbstractAsyncContextManager[Ingest]]


@pytest.fixture
def ingest(tmp_path: Path) -> MakeIngest:
    """Starts an ingest with settings of the test's own, and a client of it."""

    @asynccontextmanager
    async def start(**settings: int) -> AsyncIterator[Ingest]:
        address = {"ingest_grpc_listen": "127.0.0.1:0", "ingest_http_listen": "127.0.0.1:0"}
        parts = {"broker_url": "memory://", "store_url": f"sqlite:///{tmp_path / 'ingest.db'}"}
        loaded = load(IngestSettings, **address, **parts, **settings)
        async with (
            open_store(loaded.store_url) as store,
            open_broker(loaded) as broker,
            serve(loaded, broker, store) as service,
            connect(service.grpc_address) as stub,
        ):
            yield stub, service

    return start


async def sent(stub: "SchedulerAsyncStub", tasks: Iterable[api.Task]) -> list[api.StreamTasksResponse]:
    """Every answer to a stream of tasks."""

    async def requests() -> AsyncIterator[api.StreamTasksRequest]:
        for task in tasks:
            yield api.StreamTasksRequest(task=task)

    return [response async for response in stub.StreamTasks(requests())]


def tenant(name: str) -> api.Task:
    return api.Task(data=GOOD, labels={"tenant": name})


async def submit(stub: "SchedulerAsyncStub", task: api.Task) -> api.SubmitTaskResponse:
    return await stub.SubmitTask(api.SubmitTaskRequest(task=task))


async def exhausted(stub: "SchedulerAsyncStub", task: api.Task) -> tuple[str, float]:
    """The message a task is refused with because there are too many, and after how long it may come again."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await submit(stub, task)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status, retry = rpc_status.from_call(refused.value), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry)
    return str(refused.value.details()), retry.retry_delay.ToTimedelta().total_seconds()


async def test_thousands_in_one_call_are_answered_each_with_its_field(ingest: MakeIngest) -> None:
    tasks = [api.Task(data=GOOD, priority="" if n % 10 else "urgent") for n in range(5000)]

    async with ingest() as (stub, _):
        answers = (await stub.SubmitTasks(api.SubmitTasksRequest(tasks=tasks))).answers

    assert [answer.success for answer in answers] == [bool(n % 10) for n in range(5000)]
    assert len({answer.task_id for answer in answers if answer.success}) == 4500
    wrong = error_details_pb2.BadRequest()
    assert answers[10].error.details[0].Unpack(wrong)
    assert [violation.field for violation in wrong.field_violations] == ["task.priority"]


async def test_more_than_ten_thousand_in_one_call_are_refused(ingest: MakeIngest) -> None:
    async with ingest() as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SubmitTasks(api.SubmitTasksRequest(tasks=[api.Task()] * 10_001))

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_is_answered_in_its_order_and_a_bad_task_sinks_no_other(ingest: MakeIngest) -> None:
    tasks = [api.Task(task_id=f"s-{n}", data=GOOD if n % 7 else "cobol:STOP") for n in range(3000)]

    async with ingest() as (stub, _):
        responses = await sent(stub, tasks)

    assert [response.index for response in responses] == list(range(3000))
    assert [response.answer.task_id for response in responses] == [task.task_id for task in tasks]
    assert [response.answer.success for response in responses] == [bool(n % 7) for n in range(3000)]


async def test_an_empty_stream_ends_without_answers(ingest: MakeIngest) -> None:
    async with ingest() as (stub, _):
        assert await sent(stub, []) == []


async def test_a_client_that_takes_no_answers_is_not_read_for_ever(ingest: MakeIngest) -> None:
    # Refused at length: of such answers gRPC itself keeps few on the way.
    task = api.Task(data="x", labels={f"no key {n}": "" for n in range(100)})
    offered = 0

    async def requests() -> AsyncIterator[api.StreamTasksRequest]:
        nonlocal offered
        while True:
            offered += 1
            yield api.StreamTasksRequest(task=task)

    async with ingest() as (stub, _):
        stream = stub.StreamTasks(requests())
        size = (await stream.read()).ByteSize()
        while (before := offered) != await _later(lambda: offered):
            pass
        stream.cancel()

        # Both ends of a connection keep some MiB of requests, and some of answers.
        assert before < MOST_OUTSTANDING + 16 * 1024 * 1024 * (1 / size + 1 / task.ByteSize())
        assert (await submit(stub, api.Task(data=GOOD))).success


async def _later(value: Callable[[], int]) -> int:
    # What does not happen has no event that could be awaited.
    await asyncio.sleep(0.5)
    return value()


async def test_small_tasks_without_answers_taken_are_bounded_in_number(ingest: MakeIngest) -> None:
    async with ingest() as (stub, _):
        stream = stub.StreamTasks()
        for _ in range(3 * MOST_OUTSTANDING):
            await asyncio.wait_for(stream.write(api.StreamTasksRequest(task=api.Task(data=GOOD))), 10)
        await stream.done_writing()
        # Whatever the server held back comes once its answers are taken.
        answers = [await stream.read() for _ in range(3 * MOST_OUTSTANDING)]

    assert [answer.index for answer in answers] == list(range(3 * MOST_OUTSTANDING))


async def test_beyond_the_bound_a_task_is_told_to_come_again(ingest: MakeIngest) -> None:
    async with ingest(ingest_max_queued=3) as (stub, service):
        first = [await submit(stub, api.Task(task_id=f"t-{n}", data=GOOD)) for n in range(3)]
        message, seconds = await exhausted(stub, api.Task(data=GOOD))
        over_http = await _post(service, "/submit-task")
        assert (await stub.CancelTask(api.CancelTaskRequest(task_id="t-0"))).cancelled
        await asyncio.sleep(seconds)
        first.append(await submit(stub, api.Task(data=GOOD)))

    assert all(answer.success for answer in first)
    assert "3 tasks are queued" in message
    assert (over_http.status_code, over_http.headers["retry-after"]) == (429, "1")


async def _post(service: IngestService, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(f"http://{service.http_address}{path}", content=f'{{"data": "{GOOD}"}}')


async def test_many_in_one_call_are_let_in_as_far_as_there_is_room(ingest: MakeIngest) -> None:
    async with ingest(ingest_max_queued=700) as (stub, _):
        answers = (await stub.SubmitTasks(api.SubmitTasksRequest(tasks=[api.Task(data=GOOD)] * 1000))).answers

    assert sum(answer.success for answer in answers) == 700
    assert {answer.error.code for answer in answers if not answer.success} == {
        grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    }


async def test_what_was_queued_before_the_start_counts(ingest: MakeIngest) -> None:
    async with ingest() as (stub, _):
        await stub.SubmitTasks(api.SubmitTasksRequest(tasks=[api.Task(data=GOOD)] * 5))
    async with ingest(ingest_max_queued=5) as (stub, _):
        await exhausted(stub, api.Task(data=GOOD))


async def test_a_tenant_at_its_bound_keeps_no_other_out(ingest: MakeIngest) -> None:
    async with ingest(ingest_max_queued_per_tenant=2) as (stub, _):
        for _ in range(2):
            await submit(stub, tenant("a"))
        message, _ = await exhausted(stub, tenant("a"))
        assert (await submit(stub, tenant("b"))).success
        assert (await submit(stub, api.Task(data=GOOD))).success

    assert "tenant 'a' has 2 tasks queued" in message


async def test_a_task_that_is_known_already_takes_no_place(ingest: MakeIngest) -> None:
    async with ingest(ingest_max_queued=3) as (stub, _):
        for _ in range(5):
            assert (await submit(stub, api.Task(task_id="same", data=GOOD))).success
        assert (await submit(stub, api.Task(data=GOOD))).success


async def test_a_stream_waits_where_a_call_is_refused(ingest: MakeIngest) -> None:
    async with ingest(ingest_max_queued=2) as (stub, _):
        stream = stub.StreamTasks()
        for n in range(3):
            await stream.write(api.StreamTasksRequest(task=api.Task(task_id=f"t-{n}", data=GOOD)))
        await stream.done_writing()
        answers = [await stream.read(), await stream.read()]
        third = asyncio.ensure_future(stream.read())
        done, _ = await asyncio.wait([third], timeout=1.5)
        await stub.CancelTask(api.CancelTaskRequest(task_id="t-0"))
        answers.append(await asyncio.wait_for(third, 10))

    assert not done
    assert [answer.answer.success for answer in answers] == [True, True, True]


async def test_text_that_is_not_utf8_in_a_stream_ends_no_other(ingest: MakeIngest) -> None:
    good = api.StreamTasksRequest(task=api.Task(data=GOOD)).SerializeToString()

    async with ingest() as (_, service), grpc.aio.insecure_channel(service.grpc_address) as channel:
        call = channel.stream_stream(
            "/scheduler.Scheduler/StreamTasks", response_deserializer=api.StreamTasksResponse.FromString
        )
        answers = [one.answer async for one in call(iter([good, good.replace(b"print", b"pr\xffnt"), good]))]

    assert [answer.success for answer in answers] == [True, False, True]
    assert "task.data: is not UTF-8" in answers[1].message
