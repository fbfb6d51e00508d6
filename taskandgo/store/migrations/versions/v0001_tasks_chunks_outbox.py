"""The first schema: tasks, their labels, their chunks and the outbox."""

import sqlalchemy as sa
from alembic import op

from taskandgo.store.tables import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _task()
    _chunk()
    op.create_table(
        "task_label",
        sa.Column("key", sa.String(63), primary_key=True),
        sa.Column("value", sa.String(256), primary_key=True),
        sa.Column("task_id", sa.String(128), primary_key=True),
        sa.ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
    )
    op.create_table(
        "outbox",
        sa.Column("task_id", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("written_at", Instant, nullable=False),
    )


def _task() -> None:
    op.create_table(
        "task",
        sa.Column("task_id", sa.String(128), primary_key=True),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("spec", sa.LargeBinary, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("language", sa.String(32), nullable=False),
        sa.Column("strategy", sa.String(16), nullable=False),
        sa.Column("pool", sa.String(63), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(32)),
        sa.Column("queued_at", Instant, nullable=False),
        sa.Column("started_at", Instant),
        sa.Column("finished_at", Instant),
        sa.Column("chunk_count", sa.Integer, nullable=False),
        sa.Column("chunks_succeeded", sa.Integer, nullable=False),
        sa.Column("chunks_failed", sa.Integer, nullable=False),
    )
    op.create_index("task_newest", "task", ["queued_at", "task_id"])
    still_open = sa.text("state IN ('queued', 'running')")
    op.create_index(
        "task_open", "task", ["priority", "queued_at"], sqlite_where=still_open, postgresql_where=still_open
    )


def _chunk() -> None:
    op.create_table(
        "chunk",
        sa.Column("task_id", sa.String(128), primary_key=True),
        sa.Column("chunk_index", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lost_count", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("runner", sa.Text, nullable=False),
        sa.Column("started_at", Instant),
        sa.Column("finished_at", Instant),
        sa.Column("outcome", sa.String(32)),
        sa.Column("exit_code", sa.Integer),
        sa.Column("stdout", sa.LargeBinary),
        sa.Column("stderr", sa.LargeBinary),
        sa.Column("stdout_truncated", sa.Boolean),
        sa.Column("stderr_truncated", sa.Boolean),
        sa.Column("reason", sa.Text),
        sa.Column("wall_seconds", sa.Float),
        sa.Column("cpu_seconds", sa.Float),
        sa.Column("compile_seconds", sa.Float),
        sa.Column("peak_memory_bytes", sa.BigInteger),
        sa.Column("output_bytes", sa.BigInteger),
        sa.Column("isolation", sa.String(32)),
        sa.ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
    )
