"""Splitting, retrying and timers: what a task counts, what a chunk has been through, and when what is due."""

import sqlalchemy as sa
from alembic import op

from taskandgo.store.tables import Instant

revision = "0002"
down_revision = "0001"

CHUNK = sa.table("chunk", sa.column("task_id"), sa.column("state"))
TASK = sa.table("task", *(sa.column(name) for name in ("task_id", "finished_at", "chunks_ready", "chunks_running")))


def upgrade() -> None:
    """Add the columns, fill them from what is there, and make the table of timers."""
    _task()
    _chunk()
    _fill()
    op.create_table(
        "timer",
        sa.Column("task_id", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("chunk_index", sa.Integer, primary_key=True),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("claims", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
    )
    op.create_index("timer_due", "timer", ["due_at"])


def _task() -> None:
    for name in ("chunks_ready", "chunks_running", "next_chunk", "last_attempt", "min_succeeded"):
        op.add_column("task", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.add_column("task", sa.Column("max_attempts", sa.Integer, nullable=False, server_default="1"))
    op.add_column("task", sa.Column("succeeded_seconds", sa.Float, nullable=False, server_default="0"))
    op.add_column("task", sa.Column("backoff_seconds", sa.Float, nullable=False, server_default="1"))
    op.add_column("task", sa.Column("reduces", sa.Boolean, nullable=False, server_default=sa.false()))


def _chunk() -> None:
    for name in ("duplicate", "failed_count", "out_of_memory_count", "attempts"):
        op.add_column("chunk", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    for name in ("opened_from", "opened_to"):
        op.add_column("chunk", sa.Column(name, sa.Integer))
    op.add_column("chunk", sa.Column("due_at", Instant))


def _fill() -> None:
    op.execute("UPDATE chunk SET attempts = attempt")
    op.execute("UPDATE task SET next_chunk = chunk_count")
    for state in ("ready", "running"):
        there = sa.and_(CHUNK.c.task_id == TASK.c.task_id, CHUNK.c.state == state)
        counted = sa.select(sa.func.count()).where(there).scalar_subquery()
        op.execute(TASK.update().where(TASK.c.finished_at.is_(None)).values({f"chunks_{state}": counted}))
