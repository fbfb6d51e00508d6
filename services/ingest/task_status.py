"""A task as the store knows it, told in the API's words: pure."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from taskandgo.api import scheduler_pb2 as api
from taskandgo.messages import ChunkOutput
from taskandgo.store.records import TaskRecord
from taskandgo.task import Usage
from taskandgo.words import Outcome, Stream, TaskState

STATES = {state: api.TaskState.Value(f"TASK_STATE_{state.name}") for state in TaskState}
STATE_WORDS = {number: state for state, number in STATES.items()}
OUTCOMES = {outcome: api.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in Outcome}
STREAMS = {Stream.STDOUT: api.Output.STREAM_STDOUT, Stream.STDERR: api.Output.STREAM_STDERR}


def task_status(record: TaskRecord) -> api.TaskStatus:
    """The task with, when it has one, its result."""
    return api.TaskStatus(
        task_id=record.task_id,
        state=STATES[record.state],
        priority=record.priority.word,
        language=record.language,
        strategy=record.strategy,
        pool=record.pool,
        labels=record.labels,
        queued_at=timestamp(record.queued_at),
        started_at=timestamp(record.started_at),
        finished_at=timestamp(record.finished_at),
        chunk_count=record.chunk_count,
        chunks_succeeded=record.chunks_succeeded,
        chunks_failed=record.chunks_failed,
        chunks_running=record.chunks_running,
        chunks_ready=record.chunks_ready,
        result=_result(record),
    )


def output(message: ChunkOutput) -> api.Output:
    """A block of output."""
    text, data = text_and_bytes(message.data)
    return api.Output(
        stream=STREAMS[message.stream],
        text=text,
        data=data,
        offset=message.offset,
        chunk_index=message.chunk_index,
        attempt=message.attempt,
    )


def text_and_bytes(written: bytes) -> tuple[str, bytes]:
    """The text of what was written, and the exact bytes if the text does not say them."""
    try:
        return written.decode(), b""
    except UnicodeDecodeError:
        return written.decode(errors="replace"), written


def usage_message(usage: Usage) -> api.Usage:
    """What an attempt used."""
    return api.Usage(
        wall_seconds=usage.wall_seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_memory_bytes=usage.peak_memory_bytes,
        output_bytes=usage.output_bytes,
        isolation=usage.isolation,
        compile_seconds=usage.compile_seconds,
    )


def timestamp(instant: datetime | None) -> Timestamp | None:
    """The instant as protobuf has it."""
    if instant is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def _result(record: TaskRecord) -> api.Result | None:
    result = record.result
    if result is None:
        return None
    stdout, stdout_bytes = text_and_bytes(result.stdout)
    stderr, stderr_bytes = text_and_bytes(result.stderr)
    return api.Result(
        outcome=OUTCOMES[result.outcome],
        exit_code=result.exit_code,
        stdout=stdout,
        stderr=stderr,
        stdout_bytes=stdout_bytes,
        stderr_bytes=stderr_bytes,
        stdout_truncated=result.stdout_truncated,
        stderr_truncated=result.stderr_truncated,
        reason=result.reason,
        usage=usage_message(result.usage),
        attempt=record.attempt,
        runner=record.runner,
        missing_chunks=record.missing_chunks,
        stdout_kept_bytes=record.stdout_bytes,
        stderr_kept_bytes=record.stderr_bytes,
    )
