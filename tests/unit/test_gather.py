"""What follows for a task from its chunks' ends."""

import base64
import json

import pytest

from services.dispatcher.strategies.gather import Counts, Step, next_step, reduce_stdin


@pytest.mark.parametrize(
    ("counts", "step"),
    [
        (Counts(1, 0, 0), Step.WAIT),
        (Counts(1, 1, 0), Step.SUCCEED),
        (Counts(1, 0, 1), Step.FAIL),
        (Counts(3, 2, 0), Step.WAIT),
        (Counts(3, 2, 1), Step.FAIL),
        (Counts(3, 3, 0), Step.SUCCEED),
        (Counts(3, 2, 1, min_succeeded=2), Step.SUCCEED),
        (Counts(3, 2, 0, min_succeeded=2), Step.WAIT),
        (Counts(3, 1, 2, min_succeeded=2), Step.FAIL),
        (Counts(3, 3, 0, min_succeeded=9), Step.SUCCEED),
        (Counts(3, 3, 0, reduces=True), Step.REDUCE),
        (Counts(3, 2, 1, reduces=True), Step.FAIL),
        (Counts(3, 2, 1, min_succeeded=2, reduces=True), Step.REDUCE),
    ],
)
def test_what_follows_is_told_by_the_counts(counts: Counts, step: Step) -> None:
    assert next_step(counts) is step


def test_a_reduce_reads_one_json_object_a_line_with_the_exact_bytes() -> None:
    lines = [json.loads(line) for line in reduce_stdin([(0, b"a\nb"), (2, b"\xff")]).splitlines()]
    assert lines[0] == {"chunk_index": 0, "stdout": "a\nb"}
    assert lines[1]["chunk_index"] == 2
    assert base64.b64decode(lines[1]["stdout_bytes"]) == b"\xff"
