"""Brings the schema up to date; run by every service at its start and by `taskandgo migrate`.

Promises: many processes may do it at once; one does, the others wait and find nothing to do.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from taskandgo.store.database import Database

#: Any number that only this product locks by.
LOCK = 7_462_051

#: What one step of a migration may take: an index over a large table.
LONGEST_SECONDS = 3600.0


async def migrate(url: str) -> None:
    """Migrate the database at the address; StoreAwayError if it cannot be reached."""
    database = Database(url, LONGEST_SECONDS)
    try:
        await database.write(lambda connection: connection.run_sync(_upgrade))
    finally:
        await database.close()


def _upgrade(connection: Connection) -> None:
    # On SQLite the transaction has begun to write already, which keeps everybody else waiting.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
