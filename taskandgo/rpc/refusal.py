"""How a call is refused: one exception that says why, turned into a gRPC status with details or an HTTP answer.

What is lost on the wire: nothing; the details are google.rpc.BadRequest and google.rpc.RetryInfo.
"""

from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from taskandgo.errors import TaskAndGoError


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request, by its path, and what is wrong with it."""

    field: str
    description: str


@dataclass(eq=False)
class RefusalError(TaskAndGoError):
    """A call is refused."""

    code: grpc.StatusCode
    message: str
    violations: tuple[Violation, ...] = field(default=())
    retry_seconds: float | None = None

    def __str__(self) -> str:
        """The message for people."""
        return self.message

    def to_status(self) -> status_pb2.Status:
        """The refusal as google.rpc.Status, details included."""
        number: int = self.code.value[0]
        return status_pb2.Status(code=number, message=self.message, details=self._details())

    def _details(self) -> list[any_pb2.Any]:
        details = []
        if self.violations:
            pairs = [
                error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
                for v in self.violations
            ]
            details.append(_packed(error_details_pb2.BadRequest(field_violations=pairs)))
        if self.retry_seconds is not None:
            delay = duration_pb2.Duration(nanos=int(self.retry_seconds % 1 * 1e9), seconds=int(self.retry_seconds))
            details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
        return details


def invalid(*violations: Violation) -> RefusalError:
    """INVALID_ARGUMENT that names every field that is wrong."""
    message = "; ".join(f"{v.field}: {v.description}" for v in violations)
    return RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message, violations)


def away(message: str, retry_seconds: float = 2.0) -> RefusalError:
    """UNAVAILABLE, with when to try again."""
    return RefusalError(grpc.StatusCode.UNAVAILABLE, message, (), retry_seconds)


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", refusal: RefusalError) -> NoReturn:
    """End the gRPC call with the refusal."""
    await context.abort_with_status(rpc_status.to_status(refusal.to_status()))
    raise AssertionError("abort_with_status never returns")


def exhausted(message: str, retry_seconds: float) -> RefusalError:
    """RESOURCE_EXHAUSTED, with when to try again."""
    return RefusalError(grpc.StatusCode.RESOURCE_EXHAUSTED, message, (), retry_seconds)


def _packed(detail: error_details_pb2.BadRequest | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
