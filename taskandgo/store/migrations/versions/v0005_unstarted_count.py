"""How often in a row a chunk was lost before it was seen to run, so that what kills its runners at once is given up."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; what was lost before does not count."""
    op.add_column("chunk", sa.Column("unstarted_count", sa.Integer, nullable=False, server_default="0"))
