"""When a chunk was let into the queue, so that one that is in no queue any more can be told."""

import sqlalchemy as sa
from alembic import op

from taskandgo.store.tables import Instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; rows without it count as let in when their task was queued."""
    op.add_column("chunk", sa.Column("ready_at", Instant))
