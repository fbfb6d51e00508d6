"""Runs one task with its output live; the first Ctrl-C cancels the task, the second leaves at once."""

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import grpc
import typer

from services.cli.exit_codes import ExitCode, exit_code_of
from services.cli.following import StreamEndedError, is_final, is_restart, wait_for_end
from services.cli.live_output import LiveOutput
from services.cli.progress import chunk_counting
from services.cli.showing import as_json, outcome_word
from taskandgo.api import scheduler_pb2 as api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub


async def run_live(stub: "SchedulerAsyncStub", task: api.Task, *, json: bool) -> int:
    """Run the task; the exit code to leave with."""
    task_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    cancelling = asyncio.create_task(_cancel_on_interrupt(stub, task_id))
    try:
        final = await _follow(stub, task, task_id, json=json)
    finally:
        cancelling.cancel()
        await asyncio.gather(cancelling, return_exceptions=True)
    if final.result.reason and not json:
        typer.echo(f"taskandgo: {outcome_word(final.result)}: {final.result.reason}", err=True)
    return exit_code_of(final)


async def _follow(
    stub: "SchedulerAsyncStub", task: api.Task, task_id: asyncio.Future[str], *, json: bool
) -> api.TaskStatus:
    split = task.HasField("split")
    output = LiveOutput(write_stdout, write_stderr, live=not split)
    with chunk_counting(shown=split) as counted:
        final = None
        async for event in _events(stub, task, task_id):
            if json:
                typer.echo(as_json(event))
            elif event.HasField("output"):
                output.add(event.output)
            if event.HasField("status"):
                counted(event.status)
                final = event.status
    if final is None or not is_final(final):
        raise StreamEndedError
    if not json:
        await output.finish_whole(stub, final)
    return final


async def _events(
    stub: "SchedulerAsyncStub", task: api.Task, task_id: asyncio.Future[str]
) -> "AsyncIterator[api.RunTaskResponse]":
    """All that RunTask tells; the last of it from whoever takes the place of a server that stops meanwhile."""
    ended = False
    try:
        async for event in stub.RunTask(api.RunTaskRequest(task=task)):
            if event.HasField("submitted"):
                task_id.set_result(event.submitted.task_id)
            ended = is_final(event.status)
            yield event
    except grpc.aio.AioRpcError as error:
        if not (task_id.done() and is_restart(error)):
            raise
    if task_id.done() and not ended:
        # It was accepted, so it ends; what of its output no event brought comes with the result.
        yield api.RunTaskResponse(status=await wait_for_end(stub, task_id.result(), heard=True))


async def _cancel_on_interrupt(stub: "SchedulerAsyncStub", task_id: asyncio.Future[str]) -> None:
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    await interrupted.wait()
    loop.add_signal_handler(signal.SIGINT, os._exit, ExitCode.CANCELLED)
    answer = await stub.CancelTask(api.CancelTaskRequest(task_id=await task_id))
    said = "cancelled" if answer.cancelled else "had already finished:"
    typer.echo(f"taskandgo: {said} task {task_id.result()}", err=True)


def write_stdout(block: bytes) -> None:
    """Write to standard output, at once."""
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


def write_stderr(block: bytes) -> None:
    """Write to standard error, at once."""
    sys.stderr.buffer.write(block)
    sys.stderr.buffer.flush()
