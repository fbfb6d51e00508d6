"""A refusal says on the wire all that it says in the process."""

import grpc
from google.rpc import error_details_pb2

from taskandgo.rpc.refusal import Violation, away, invalid


def test_violations_travel_as_bad_request() -> None:
    status = invalid(Violation("task.data", "is empty")).to_status()

    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [(v.field, v.description) for v in bad.field_violations] == [("task.data", "is empty")]


def test_away_travels_with_when_to_try_again() -> None:
    status = away("the store is away", retry_seconds=1.5).to_status()

    retry = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.5
