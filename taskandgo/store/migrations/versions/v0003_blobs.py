"""Blobs: large input and output, in pieces, and the tasks that use them."""

import sqlalchemy as sa
from alembic import op

from taskandgo.store.tables import Instant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the three tables, and the columns that refer to a blob."""
    _blob()
    _piece()
    _use()
    for stream in ("stdout", "stderr"):
        op.add_column("chunk", sa.Column(f"{stream}_blob", sa.String(64)))
        op.add_column("chunk", sa.Column(f"{stream}_blob_bytes", sa.BigInteger))


def _blob() -> None:
    op.create_table(
        "blob",
        sa.Column("blob_id", sa.String(32), primary_key=True),
        sa.Column("sha256", sa.String(64)),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("lines", sa.BigInteger, nullable=False),
        sa.Column("touched_at", Instant, nullable=False),
    )
    op.create_index("blob_sha256", "blob", ["sha256"], unique=True)
    op.create_index("blob_touched", "blob", ["touched_at"])


def _piece() -> None:
    op.create_table(
        "blob_piece",
        sa.Column("blob_id", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("lines_before", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blob.blob_id"], ondelete="CASCADE"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Compressing each piece would take longer than writing it.
        op.execute("ALTER TABLE blob_piece ALTER COLUMN data SET STORAGE EXTERNAL")


def _use() -> None:
    op.create_table(
        "blob_use",
        sa.Column("task_id", sa.String(128), primary_key=True),
        sa.Column("blob_id", sa.String(32), primary_key=True),
        sa.ForeignKeyConstraint(["task_id"], ["task.task_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["blob_id"], ["blob.blob_id"]),
    )
    op.create_index("blob_use_blob", "blob_use", ["blob_id"])
