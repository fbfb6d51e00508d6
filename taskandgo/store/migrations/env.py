"""Alembic runs this; migrate.py hands over the connection."""

from alembic import context

from taskandgo.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
