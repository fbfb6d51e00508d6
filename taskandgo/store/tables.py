"""The schema. Instants are aware UTC on both databases; priorities are their AMQP numbers.

`outbox` holds what is committed but not yet confirmed by the broker, `timer` what is to happen at an instant;
`blob` what is too large for a message, in pieces, and `blob_use` the tasks that need it.
A chunk has a row from the moment it is emitted; before, it is only counted.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant, on a database that keeps time zones and on one that does not."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """In UTC; naive where the database knows no zones."""
        if value is None:
            return None
        instant = value.astimezone(UTC)
        return instant.replace(tzinfo=None) if dialect.name == "sqlite" else instant

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware again."""
        del dialect
        if value is None or value.tzinfo:
            return value
        return value.replace(tzinfo=UTC)


metadata = MetaData()

task = Table(
    "task",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("content_hash", LargeBinary, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("language", String(32), nullable=False),
    Column("strategy", String(16), nullable=False),
    Column("pool", String(63), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("outcome", String(32)),
    Column("queued_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("chunk_count", Integer, nullable=False),
    Column("chunks_succeeded", Integer, nullable=False),
    Column("chunks_failed", Integer, nullable=False),
    # Chunks in the queue and on runners now, the reduce included.
    Column("chunks_ready", Integer, nullable=False),
    Column("chunks_running", Integer, nullable=False),
    # Every chunk before this index has been emitted.
    Column("next_chunk", Integer, nullable=False),
    # Run time of the chunks that succeeded, all together.
    Column("succeeded_seconds", Float, nullable=False),
    # Attempts up to this number were cancelled or retried, and count no more.
    Column("last_attempt", Integer, nullable=False),
    # What of `spec` decides how the task goes on.
    Column("min_succeeded", Integer, nullable=False),
    Column("reduces", Boolean, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("backoff_seconds", Float, nullable=False),
    Index("task_newest", "queued_at", "task_id"),
)
#: Spelt out as the index below has it: a database uses the index only for what it can tell is the same.
OPEN_TASKS = "state IN ('queued', 'running')"
IS_OPEN = text(OPEN_TASKS)
Index("task_open", task.c.priority, task.c.queued_at, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)

task_label = Table(
    "task_label",
    metadata,
    Column("key", String(63), primary_key=True),
    Column("value", String(256), primary_key=True),
    Column("task_id", String(128), primary_key=True),
    ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
)

chunk = Table(
    "chunk",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("chunk_index", Integer, primary_key=True),
    # The attempt that counts; of the two that run after a straggler was started again, the older one.
    Column("attempt", Integer, nullable=False),
    # The younger of the two, or 0.
    Column("duplicate", Integer, nullable=False),
    # The highest attempt number given out so far.
    Column("attempts", Integer, nullable=False),
    # Attempts that died with their runner, ended badly, or ran out of memory.
    Column("lost_count", Integer, nullable=False),
    Column("failed_count", Integer, nullable=False),
    Column("out_of_memory_count", Integer, nullable=False),
    # Attempts in a row that were lost before they were seen to run.
    Column("unstarted_count", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    # When its present attempt, or the younger of two, was last let into the queue.
    Column("ready_at", Instant),
    # When a waiting chunk's next attempt is due.
    Column("due_at", Instant),
    # The chunks that this one's end let into the queue: from, and up to without.
    Column("opened_from", Integer),
    Column("opened_to", Integer),
    Column("runner", Text, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("outcome", String(32)),
    Column("exit_code", Integer),
    Column("stdout", LargeBinary),
    Column("stderr", LargeBinary),
    Column("stdout_truncated", Boolean),
    Column("stderr_truncated", Boolean),
    Column("reason", Text),
    Column("wall_seconds", Float),
    Column("cpu_seconds", Float),
    Column("compile_seconds", Float),
    Column("peak_memory_bytes", BigInteger),
    Column("output_bytes", BigInteger),
    Column("isolation", String(32)),
    # Where a stream is that is too large for the columns above, and how much of it was kept.
    Column("stdout_blob", String(64)),
    Column("stdout_blob_bytes", BigInteger),
    Column("stderr_blob", String(64)),
    Column("stderr_blob_bytes", BigInteger),
    ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("kind", String(32), primary_key=True),
    # Or taken up last, to be published again.
    Column("written_at", Instant, nullable=False),
)

timer = Table(
    "timer",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("chunk_index", Integer, primary_key=True),
    # Put off while a dispatcher is at it, so that another one takes over if it dies.
    Column("due_at", Instant, nullable=False),
    # How often it was taken up without having been done.
    Column("claims", Integer, nullable=False),
    ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
    Index("timer_due", "due_at"),
)

blob = Table(
    "blob",
    metadata,
    Column("blob_id", String(32), primary_key=True),
    # Of all its bytes, as a hexadecimal number; absent while it is being written.
    Column("sha256", String(64)),
    Column("size_bytes", BigInteger, nullable=False),
    # Ends of lines in it; one more when the last line has none.
    Column("lines", BigInteger, nullable=False),
    # When it was last written or asked for by a new task: one that no task uses goes some time after.
    Column("touched_at", Instant, nullable=False),
    Index("blob_sha256", "sha256", unique=True),
    Index("blob_touched", "touched_at"),
)

blob_piece = Table(
    "blob_piece",
    metadata,
    Column("blob_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    # Ends of lines in all pieces before: tells which piece a line ends in.
    Column("lines_before", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    ForeignKeyConstraint(["blob_id"], ["blob.blob_id"], ondelete="CASCADE"),
)

blob_use = Table(
    "blob_use",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("blob_id", String(32), primary_key=True),
    ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["blob_id"], ["blob.blob_id"]),
    Index("blob_use_blob", "blob_id"),
)
