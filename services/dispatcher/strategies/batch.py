"""The batch strategy: a task is one chunk, whole, on one node."""

from taskandgo.task import TaskSpec


def chunk_count(task: TaskSpec, slots: int) -> int:
    """How many chunks the task becomes: always one."""
    del task, slots
    return 1
