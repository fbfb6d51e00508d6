"""The schema. Instants are aware UTC on both databases; priorities are their AMQP numbers.

`outbox` holds what is committed but not yet confirmed by the broker.
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
    Index("task_newest", "queued_at", "task_id"),
)
_OPEN = text("state IN ('queued', 'running')")
Index("task_open", task.c.priority, task.c.queued_at, sqlite_where=_OPEN, postgresql_where=_OPEN)

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
    Column("attempt", Integer, nullable=False),
    Column("lost_count", Integer, nullable=False),
    Column("state", String(16), nullable=False),
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
    ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("written_at", Instant, nullable=False),
)
