"""Tasks for the dashboard to show."""

from taskandgo.api import scheduler_pb2 as api
from taskandgo.api import scheduler_pb2_grpc as api_grpc

#: Writes a line, and waits until it is told to end: by cancelling it, or by its timeout.
WRITES_AND_WAITS = "import time\nfor n in range(600): print('tick', n, flush=True); time.sleep(0.1)"


def submit(
    client: api_grpc.SchedulerStub, task_id: str, code: str, *, chunks: int = 0, labels: dict[str, str] | None = None
) -> None:
    """Submit a Python task; one with chunks is split."""
    split = api.Split(chunks=chunks) if chunks else None
    task = api.Task(task_id=task_id, data=f"python:{code}", split=split, labels=labels or {})
    assert client.SubmitTask(api.SubmitTaskRequest(task=task)).success
