"""A client that behaves as clients should: submits again, with the same id, whatever it got no answer to.

Promises: remembers what was answered `success`, and nothing else counts as accepted.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc
from tests.chaos.mixed_tasks import MixedTask, mixed_task

CALL_SECONDS = 20.0
PAUSE_SECONDS = 0.3
OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.lb_policy_name", "round_robin"),
]
#: gRPC's own way to repeat what a server that goes away did not take up, which every client library has.
RETRIES = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "scheduler.Scheduler"}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ]
    }
)
Call = Callable[[api_grpc.SchedulerStub], Awaitable[Any]]


@dataclass(eq=False)
class Client:
    """Submits, cancels and retries over several ingests."""

    addresses: Sequence[str]
    #: Whether its channels repeat calls by themselves.
    retries: bool = False
    submitted: dict[str, MixedTask] = field(default_factory=dict)
    accepted: dict[str, MixedTask] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    retried: Counter[str] = field(default_factory=Counter)
    #: How calls ended, and the longest any of them took.
    answers: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _stubs: list[api_grpc.SchedulerStub] = field(default_factory=list)
    _following: set[asyncio.Task[None]] = field(default_factory=set)
    _turn: int = 0

    async def __aenter__(self) -> "Client":
        """Open a channel to every ingest."""
        options = [*OPTIONS, ("grpc.service_config", RETRIES)] if self.retries else OPTIONS
        for address in self.addresses:
            channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(address, options))
            self._stubs.append(api_grpc.SchedulerStub(channel))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give up whatever is still being followed."""
        for task in list(self._following):
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self._stack.aclose()

    async def submit_for(self, seconds: float, per_second: float, seed: int) -> None:
        """Submit a steady stream; what got no answer is tried again meanwhile and after."""
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            mixed = mixed_task(number, seed)
            self.follow(mixed)
            number += 1
            await asyncio.sleep(1 / per_second)

    def follow(self, mixed: MixedTask) -> None:
        """Submit a task in the background, and do with it what is asked for."""
        self.submitted[mixed.task.task_id] = mixed
        task = asyncio.get_running_loop().create_task(self._see_through(mixed))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def settle(self) -> None:
        """Return when every task was answered, and cancelled or retried where that is asked for."""
        while self._following:
            await asyncio.wait(self._following)

    async def submit(self, mixed: MixedTask) -> None:
        """Submit a task until it is accepted."""
        request = api.SubmitTaskRequest(task=mixed.task)
        await self.call(lambda stub: stub.SubmitTask(request, timeout=CALL_SECONDS))
        self.accepted[mixed.task.task_id] = mixed

    async def status(self, task_id: str) -> api.TaskStatus:
        """Where a task is; asked until somebody answers."""
        request = api.GetTaskRequest(task_id=task_id)
        answer = await self.call(lambda stub: stub.GetTask(request, timeout=CALL_SECONDS))
        return answer.task  # type: ignore[no-any-return]

    async def call(self, call: Call) -> Any:
        """The answer of the first ingest that gives one, however long that takes; a refusal is raised."""
        while True:
            try:
                return await self.once(call)
            except grpc.aio.AioRpcError as error:
                if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def once(self, call: Call) -> Any:
        """What one ingest answers; each is asked in turn."""
        self._turn += 1
        began = time.monotonic()
        try:
            answer = await call(self._stubs[self._turn % len(self._stubs)])
        except grpc.aio.AioRpcError as error:
            self._note(error.code().name, began)
            raise
        self._note("OK", began)
        return answer

    def _note(self, code: str, began: float) -> None:
        self.answers[code] += 1
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)

    async def _see_through(self, mixed: MixedTask) -> None:
        await self.submit(mixed)
        if mixed.cancel_after_seconds is not None:
            await asyncio.sleep(mixed.cancel_after_seconds)
            await self._cancel(mixed.task.task_id)
        if mixed.retry_when_failed:
            await self._retry_when_failed(mixed.task.task_id)

    async def _cancel(self, task_id: str) -> None:
        request = api.CancelTaskRequest(task_id=task_id)
        answer = await self.call(lambda stub: stub.CancelTask(request, timeout=CALL_SECONDS))
        if answer.state == api.TASK_STATE_CANCELLED:
            self.cancelled.add(task_id)

    async def _retry_when_failed(self, task_id: str) -> None:
        while (await self.status(task_id)).state in {api.TASK_STATE_QUEUED, api.TASK_STATE_RUNNING}:
            await asyncio.sleep(1)
        try:
            # Counted before: what got no answer may have been done.
            self.retried[task_id] += 1
            request = api.RetryTaskRequest(task_id=task_id)
            await self.call(lambda stub: stub.RetryTask(request, timeout=CALL_SECONDS))
        except grpc.aio.AioRpcError:
            pass  # it runs again already, or has succeeded since its first attempt was lost
