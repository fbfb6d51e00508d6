"""When a task is finished and how, told from how many of its chunks are."""

from taskandgo.words import TaskState


def settle(chunk_count: int, succeeded: int, failed: int) -> TaskState | None:
    """The final state of a task with so many chunks ended either way; None while some have not."""
    if succeeded + failed < chunk_count:
        return None
    return TaskState.FAILED if failed else TaskState.SUCCEEDED
