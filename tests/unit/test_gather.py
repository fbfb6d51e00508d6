"""When a task is finished, told from its chunks."""

import pytest

from services.dispatcher.strategies.gather import settle
from taskandgo.words import TaskState


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ((1, 0, 0), None),
        ((1, 1, 0), TaskState.SUCCEEDED),
        ((1, 0, 1), TaskState.FAILED),
        ((3, 2, 0), None),
        ((3, 2, 1), TaskState.FAILED),
        ((3, 3, 0), TaskState.SUCCEEDED),
    ],
)
def test_a_task_settles_when_its_last_chunk_has_ended(counts: tuple[int, int, int], state: TaskState | None) -> None:
    assert settle(*counts) is state
