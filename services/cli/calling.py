"""Runs one command's conversation with the server; a refusal becomes a message and an exit code, never a traceback."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import typer
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.cli.exit_codes import ExitCode
from taskandgo.rpc.client import connect

if TYPE_CHECKING:
    from taskandgo.api.scheduler_pb2_grpc import SchedulerAsyncStub

Answer = TypeVar("Answer")

EXIT_CODES = {
    grpc.StatusCode.NOT_FOUND: ExitCode.NOT_FOUND,
    grpc.StatusCode.UNAVAILABLE: ExitCode.SERVER_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.SERVER_UNAVAILABLE,
}


def call(server: str, converse: "Callable[[SchedulerAsyncStub], Coroutine[Any, Any, Answer]]") -> Answer:
    """Connect, converse, and give back the answer; exits with a message when the server refuses."""

    async def connected() -> Answer:
        async with connect(server) as stub:
            return await converse(stub)

    try:
        return asyncio.run(connected())
    except grpc.aio.AioRpcError as error:
        typer.echo(refusal_text(error, server), err=True)
        raise typer.Exit(EXIT_CODES.get(error.code(), ExitCode.REFUSED)) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.CANCELLED) from None


def refusal_text(error: grpc.aio.AioRpcError, server: str) -> str:
    """The refusal for a person: the message, then a line for each field that is wrong."""
    status = rpc_status.from_call(error)
    if status is None and error.code() == grpc.StatusCode.UNAVAILABLE:
        return f"taskandgo: no answer from {server}: {error.details()}\nIs it running? `taskandgo up` starts it."
    violations = _violations(status) if status else []
    lines = [f"taskandgo: {error.code().name}: {error.details()}"]
    return "\n".join([*lines, *(f"  {v.field}: {v.description}" for v in violations)])


def _violations(status: status_pb2.Status) -> list[error_details_pb2.BadRequest.FieldViolation]:
    found: list[error_details_pb2.BadRequest.FieldViolation] = []
    for detail in status.details:
        request = error_details_pb2.BadRequest()
        if detail.Unpack(request):
            found += request.field_violations
    return found
